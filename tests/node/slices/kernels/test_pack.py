"""Packed models: every cut of them is the packed whole, bit for bit, and near the model they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from node.slices.errors import InvalidSlice
from node.slices.kernels import experts, fused, half, pack, wide
from node.slices.kernels.half import HalfLinear
from node.slices.kernels.linear import DenseLinear, Int4Linear, Int8Linear, KernelLinear
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.store import checkpoint
from scripts.make_model import write_tiny
from wire.tensors import WeightFormat
from wire.types import LayerRange

FAMILIES = ("llama", "qwen3", "gemma2", "phi3", "mixtral", "qwen2_moe", "gpt_oss", "deepseek_v3")
WIDER = {"hidden_size": 128, "intermediate_size": 256}


def load(
    folder: Path, start: int, end: int, weights: WeightFormat, *, ends: str = "", dtype: str = "bfloat16"
) -> Slice:
    return load_slice(
        SliceSpec(
            checkpoint=folder,
            layers=LayerRange(start, end),
            embed="e" in ends,
            head="h" in ends,
            dtype=dtype,
            weights=weights,
        )
    )


def chain(slices: list[Slice], steps: list[torch.Tensor]) -> torch.Tensor:
    """The logits `[steps, V]` that slices one after the other give."""
    caches = [piece.new_cache(piece.spec.layers) for piece in slices]
    logits = []
    position = 0
    for ids in steps:
        x = ids
        for piece, cache in zip(slices, caches, strict=True):
            want = Want.LOGITS if piece is slices[-1] else Want.HIDDEN
            x = piece.forward(x, cache=cache, position=position, want=want)
        logits.append(x)
        position += ids.shape[1]
    return torch.stack(logits)


def steps() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randint(3, 131, (1, count), generator=random) for count in (70, 13, 1, 1, 5, 1)]


@pytest.mark.parametrize("weights", WeightFormat)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_cut_in_three_is_the_packed_whole(
    tmp_path: Path, family: str, weights: WeightFormat
) -> None:
    folder = write_tiny(tmp_path, family, dtype=torch.bfloat16)
    whole = [load(folder, 0, 5, weights, ends="eh")]
    parts = [
        load(folder, 0, 2, weights, ends="e"),
        load(folder, 2, 3, weights),
        load(folder, 3, 5, weights, ends="h"),
    ]
    assert torch.equal(chain(parts, steps()), chain(whole, steps()))


@pytest.mark.parametrize(
    ("weights", "most"),
    [(WeightFormat.NATIVE, 0.015), (WeightFormat.INT8, 0.02), (WeightFormat.INT4_32, 0.1)],
)
def test_a_trained_model_gives_nearly_the_same_logits_with_fewer_bits(
    weights: WeightFormat, most: float
) -> None:
    folder = checkpoint.resolve(checkpoint.POCKET)
    layers = LayerRange(0, 24)

    def logits(dtype: str, weights: WeightFormat) -> torch.Tensor:
        spec = SliceSpec(
            checkpoint=folder, layers=layers, embed=True, head=True, dtype=dtype, weights=weights
        )
        return chain([load_slice(spec)], steps())

    exact, packed = logits("float32", WeightFormat.NATIVE), logits("bfloat16", weights)
    off = float((packed - exact).norm() / exact.norm())
    assert 0 < off < most


def test_experts_are_packed_too_and_take_less_memory(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, "qwen3_moe", dtype=torch.bfloat16, **WIDER, moe_intermediate_size=64)
    native, packed = (
        load(folder, 2, 3, weights).weight_bytes for weights in (WeightFormat.NATIVE, WeightFormat.INT4_32)
    )
    assert packed < 0.4 * native


def test_a_head_that_shares_its_weights_with_the_embedding_lets_go_of_it(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, "qwen2", dtype=torch.bfloat16)
    sizes = [load(folder, 5, 5, weights, ends="h").weight_bytes for weights in WeightFormat]
    assert sizes[1] < 0.6 * sizes[0]
    assert load(folder, 0, 5, WeightFormat.INT8, ends="eh").forward is not None


def test_a_rule_of_the_shape_alone_says_which_format_a_matrix_gets() -> None:
    def kind(rows: int, columns: int, weights: WeightFormat) -> type[nn.Module]:
        return type(pack.replacement(nn.Linear(columns, rows, bias=False).bfloat16(), weights))

    plain = HalfLinear if half.available() and not wide.has_bfloat16() else DenseLinear
    with torch.no_grad():
        assert kind(128, 128, WeightFormat.NATIVE) is plain
        assert kind(16, 128, WeightFormat.INT4_32) is plain
        assert kind(128, 128, WeightFormat.INT8) is Int8Linear
        assert kind(128, 128, WeightFormat.INT4_128) is Int4Linear
        assert kind(128, 96, WeightFormat.INT4_64) is Int8Linear
        assert kind(130, 128, WeightFormat.INT4_32) is Int8Linear
        assert kind(128, 24, WeightFormat.INT8) is plain
        assert kind(128, 20, WeightFormat.INT4_32) is plain


def test_models_that_do_not_compute_in_bfloat16_are_left_alone(tmp_path: Path) -> None:
    piece = load(write_tiny(tmp_path, "llama"), 1, 2, WeightFormat.NATIVE, dtype="float32")
    kinds = {type(module) for module in piece._model.modules()}
    assert nn.Linear in kinds
    assert not any(issubclass(kind, KernelLinear) for kind in kinds)
    with pytest.raises(InvalidSlice, match="int8 weights compute in bfloat16, not in float32"):
        load(tmp_path, 1, 2, WeightFormat.INT8, dtype="float32")


def test_modules_of_a_family_that_stay_in_float32_are_left_alone() -> None:
    model: Any = nn.Module()
    model.gate = nn.Linear(128, 128)
    model.up = nn.Linear(128, 128).bfloat16()
    model.dtype = torch.bfloat16
    model.get_output_embeddings = lambda: None
    pack.pack(model, WeightFormat.INT8, embed=True, widen=False)
    assert type(model.gate) is nn.Linear
    assert type(model.up) is Int8Linear
    assert not experts.is_experts(model)


def test_large_native_matrices_stay_apart() -> None:
    def parts(weights: WeightFormat, rows: int) -> bool:
        model: Any = nn.Module()
        model.mlp = nn.Module()
        for name in ("gate_proj", "up_proj"):
            linear = nn.Linear(64, rows, bias=False).bfloat16().requires_grad_(False)
            setattr(model.mlp, name, linear)
        model.get_output_embeddings = lambda: None
        pack.pack(model, weights, embed=True)
        return isinstance(model.mlp.up_proj, fused.Part)

    assert parts(WeightFormat.NATIVE, 1_024)
    assert not parts(WeightFormat.NATIVE, fused.MOST_JOINED // 64)
    assert parts(WeightFormat.INT8, fused.MOST_JOINED // 64)
