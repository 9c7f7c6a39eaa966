"""Between packed matrices a model computes at float32, and what passes between its layers has bfloat16's bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from node.slices.kernels import inner
from node.slices.kernels.linear import DenseLinear
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.make_model import write_tiny
from wire.types import LayerRange


def loaded(folder: Path, start: int, end: int, dtype: str = "bfloat16", *, ends: bool = False) -> Slice:
    return load_slice(
        SliceSpec(checkpoint=folder, layers=LayerRange(start, end), embed=ends, head=ends, dtype=dtype)
    )


@pytest.mark.parametrize("family", ["llama", "qwen3_moe", "gemma3_text", "deepseek_v3"])
def test_what_is_not_packed_is_widened_and_the_embedding_stays(tmp_path: Path, family: str) -> None:
    held = loaded(write_tiny(tmp_path, family, dtype=torch.bfloat16), 0, 5, ends=True)
    # Matrices stay as they are stored: in a packed layout, or as parameters where bfloat16 is multiplied in hardware.
    whole = [one for one in held._model.modules() if isinstance(one, nn.Embedding | DenseLinear)]
    assert all(one.weight.dtype is torch.bfloat16 for one in whole)
    kept = {id(one.weight) for one in whole}
    others = [one for one in held._model.parameters() if id(one) not in kept and one.is_floating_point()]
    assert {one.dtype for one in others} == {torch.float32}


def test_states_and_keys_have_the_bits_that_travel(tmp_path: Path) -> None:
    held = loaded(write_tiny(tmp_path, "llama", dtype=torch.bfloat16), 1, 3)
    cache = held.new_cache(held.spec.layers)
    x = torch.randn(1, 6, held.hidden_size)
    out = held.forward(x, cache=cache, position=0, want=Want.HIDDEN)
    assert out.dtype is torch.bfloat16
    assert {one.dtype for one in cache.held().values()} == {torch.bfloat16}


def test_it_is_nearer_to_float32_than_bfloat16_throughout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny(tmp_path, "llama", dtype=torch.bfloat16)
    ids = torch.randint(3, 131, (1, 40), generator=torch.Generator().manual_seed(1))

    def logits(dtype: str) -> torch.Tensor:
        held = loaded(folder, 0, 5, dtype, ends=True)
        return held.forward(ids, cache=held.new_cache(held.spec.layers), position=0, want=Want.LOGITS)

    exact, widened = logits("float32"), logits("bfloat16")
    monkeypatch.setattr(inner, "suits", lambda _: False)
    narrow = logits("bfloat16")
    assert not torch.equal(widened, narrow)
    assert float((widened - exact).norm()) < float((narrow - exact).norm())


def test_a_model_with_a_large_parameter_that_nothing_packs_stays_as_it_is() -> None:
    module: Any = nn.Module()
    module.fine = nn.Linear(2_048, 2_048, device="meta")
    module.table = nn.Embedding(4_096, 1_024, device="meta")
    module.small = nn.Parameter(torch.empty(1_024, device="meta"))
    assert inner.suits(module)
    module.large = nn.Parameter(torch.empty(2_048, 1_024, device="meta"))
    assert not inner.suits(module)


def test_biases_of_packed_modules_are_widened_too() -> None:
    module: Any = nn.Module()
    module.linear = DenseLinear(nn.Linear(8, 8).bfloat16().requires_grad_(False))
    module.norm = nn.LayerNorm(8).bfloat16().requires_grad_(False)
    inner.widen(module)
    assert module.linear.bias.dtype is torch.float32
    assert module.linear.stored.dtype is torch.bfloat16
    assert module.norm.weight.dtype is torch.float32
