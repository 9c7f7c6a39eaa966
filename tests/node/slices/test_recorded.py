"""What is played back is the layer itself, bit for bit; layers for which that does not hold are left alone."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from node.slices import recorded
from node.slices.build import layer_stack
from node.slices.families import load_config
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.make_model import write_tiny
from wire.tensors import WeightFormat
from wire.types import LayerRange

PLAYED = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2", "gpt_oss")
PACKED = {"hidden_size": 128, "intermediate_size": 256}


def whole(folder: Path, dtype: str, weights: WeightFormat = WeightFormat.NATIVE) -> Slice:
    return load_slice(
        SliceSpec(
            checkpoint=folder, layers=LayerRange(0, 5), embed=True, head=True, dtype=dtype, weights=weights
        )
    )


def logits(held: Slice, *, tokens: int = 12) -> torch.Tensor:
    """Of a prompt, single tokens, and a few at once."""
    cache = held.new_cache(held.spec.layers)
    random = torch.Generator().manual_seed(9)
    found = []
    for count in [20, *[1] * tokens, 3, 1]:
        ids = torch.randint(3, 131, (1, count), generator=random)
        found.append(held.forward(ids, cache=cache, position=cache.length, want=Want.LOGITS))
    return torch.stack(found)


def forget(held: Slice, folder: Path) -> int:
    """Drop all recordings; returns how many there were."""
    family, _ = load_config(folder)
    dropped = 0
    positions: Any = layer_stack(held._model, family)
    for position in positions:
        dropped += position.recorded is not None
        position.recorded = None
    return dropped


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", PLAYED)
def test_playing_gives_the_bits_of_the_family_s_own_code(tmp_path: Path, family: str, dtype: str) -> None:
    folder = write_tiny(tmp_path, family, dtype=getattr(torch, dtype))
    held = whole(folder, dtype)
    recordings = held.record_layers()
    if family != "gpt_oss":  # its experts, once packed, are chosen by the data
        assert recordings == 5
    played = logits(held)
    assert forget(held, folder) == recordings
    assert torch.equal(played, logits(held))


@pytest.mark.parametrize("weights", [WeightFormat.INT8, WeightFormat.INT4_32])
def test_packed_weights_are_played_with_the_same_kernels(tmp_path: Path, weights: WeightFormat) -> None:
    folder = write_tiny(tmp_path, "llama", dtype=torch.bfloat16, **PACKED)
    held = whole(folder, "bfloat16", weights)
    played = logits(held)
    assert forget(held, folder) == 5
    assert torch.equal(played, logits(held))


class Layer(nn.Module):
    """Attends as families do; `odd` says in what it differs from one that can be played back."""

    def __init__(self, odd: str = "") -> None:
        super().__init__()
        torch.manual_seed(1)
        self.odd = odd
        self.layer_idx = 0
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16, bias=False) for _ in range(4))

    def forward(
        self, x: torch.Tensor, *, cache: Any, scale: torch.Tensor | None = None, flag: bool = True
    ) -> Any:
        heads = (1, x.shape[1], 2, 8)
        query, key, value = (one(x).view(heads).transpose(1, 2) for one in (self.q, self.k, self.v))
        if self.odd == "decides by its data" and float(query.sum()) > 0:
            query = query * 2
        if self.odd == "counts tokens" and x.shape[1] == 1:
            query = query * 2
        if self.odd == "asks its cache":
            query = query * cache.get_seq_length()
        if self.odd != "stores nothing":
            key, value = cache.update(key, value, self.layer_idx)
        if self.odd == "works on what it stored":
            key = key * 2
        options = {"extra": query.sum()} if self.odd == "has an option that changes" else {}
        attend = ALL_ATTENTION_FUNCTIONS[recorded.NAME]
        if self.odd != "does not attend":
            query, _ = attend(self, query, key, value, None, scaling=0.5, **options)
        out = x + self.o(query.reshape(x.shape))
        return (out, out) if self.odd == "passes on two" else out


def given(**more: Any) -> dict[str, Any]:
    return {"cache": DynamicCache(), "flag": True, **more}


def record(odd: str = "", **more: Any) -> recorded.Recorded | None:
    layer = Layer(odd).requires_grad_(False)
    return recorded.record(layer, given(**more), torch.zeros(1, 1, 16), lambda out: out)


@pytest.mark.parametrize(
    "odd",
    [
        "decides by its data",
        "counts tokens",
        "asks its cache",
        "stores nothing",
        "works on what it stored",
        "has an option that changes",
        "does not attend",
        "passes on two",
    ],
)
def test_a_layer_that_cannot_be_played_back_is_not(odd: str) -> None:
    assert record() is not None
    assert record(odd) is None


def test_only_calls_like_the_recorded_one_fit() -> None:
    found = record()
    assert found is not None
    x = torch.zeros(1, 1, 16)
    assert found.fits(x, (), given())
    assert not found.fits(x, (1,), given())
    assert not found.fits(x, (), given(flag=False))
    assert not found.fits(x, (), given(flag=torch.ones(1)))
    assert not found.fits(x, (), given(more=None))
    assert not found.fits(torch.zeros(1, recorded.MOST_TOKENS + 1, 16), (), given())


def test_arguments_that_are_not_known_are_not_recorded() -> None:
    assert record(scale=torch.zeros(3, 4)) is None
    assert record(scale={"a": 1}) is None
    assert recorded.record(Layer(), {"flag": True}, torch.zeros(1, 1, 16), lambda out: out) is None


def test_a_recording_goes_with_the_slice_and_takes_its_weights_along(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, "llama", dtype=torch.bfloat16)
    held = whole(folder, "bfloat16")
    # What a recording holds as a constant is the weight of a norm, among others.
    norms = [weakref.ref(one) for name, one in held._model.named_parameters() if "layernorm" in name]
    assert recordings(held, folder) == 5
    held.release()
    assert norms and {one() for one in norms} == {None}


def recordings(held: Slice, folder: Path) -> int:
    """How many layers are played back."""
    family, _ = load_config(folder)
    return sum(one.recorded is not None for one in layer_stack(held._model, family))
