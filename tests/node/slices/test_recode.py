"""The bytes of a quantised tensor follow from the tensor alone, in whatever pieces it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from node.slices import recode
from node.slices.kernels import quantise
from node.slices.kernels.coded import to_nibbles
from node.slices.quantisable import Recipe
from node.slices.weights import StoredTensor, Weights
from wire.tensors import WeightFormat

MATRIX = torch.randn(40, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
EXPERTS = torch.randn(3, 64, 16, generator=torch.Generator().manual_seed(3)).bfloat16()
NORM = torch.ones(7)


@pytest.fixture
def tensors(tmp_path: Path) -> dict[str, StoredTensor]:
    save_file({"m": MATRIX, "e": EXPERTS, "n": NORM, "f": MATRIX.float()}, tmp_path / "model.safetensors")
    return dict(Weights(tmp_path, wanted=lambda _: True, on_read=lambda _: None).tensors)


def written(recipe: Recipe) -> list[bytes]:
    """The bytes of each part, put together as a file would have them."""
    planned = recode.parts(recipe)
    found = [bytearray(part.nbytes) for part in planned]
    filled = [0] * len(planned)
    for piece in recode.encoded(recipe):
        assert piece.offset == filled[piece.part]
        found[piece.part][piece.offset : piece.offset + len(piece.data)] = piece.data
        filled[piece.part] += len(piece.data)
    assert filled == [part.nbytes for part in planned]
    return [bytes(one) for one in found]


def raw(*parts: torch.Tensor) -> list[bytes]:
    return [part.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for part in parts]


@pytest.mark.parametrize("at_once", [64, 130, 1 << 22])
@pytest.mark.parametrize("name", ["m", "f"])
def test_a_matrix_becomes_its_codes_and_scales(
    tensors: dict[str, StoredTensor], monkeypatch: pytest.MonkeyPatch, at_once: int, name: str
) -> None:
    monkeypatch.setattr(recode, "WEIGHTS_AT_ONCE", at_once)
    assert written(Recipe(name=name, tensor=tensors[name], weights=WeightFormat.INT8)) == raw(
        *quantise.to_int8(MATRIX)
    )
    codes, scale, zero = quantise.to_int4(MATRIX, 32)
    assert written(Recipe(name=name, tensor=tensors[name], weights=WeightFormat.INT4_32)) == raw(
        to_nibbles(codes), scale, zero
    )


def test_the_parts_are_named_and_shaped_as_the_folder_has_them(tensors: dict[str, StoredTensor]) -> None:
    four = recode.parts(Recipe(name="m", tensor=tensors["m"], weights=WeightFormat.INT4_64))
    assert [tuple(part)[:3] for part in four] == [
        ("m.codes", "U8", (40, 32)),
        ("m.scale", "BF16", (40, 1)),
        ("m.zero", "BF16", (40, 1)),
    ]
    eight = recode.parts(Recipe(name="e", tensor=tensors["e"], weights=WeightFormat.INT8, turned=True))
    assert [tuple(part)[:3] for part in eight] == [
        ("e.turned", "I8", (3, 16, 64)),
        ("e.scale", "BF16", (3, 16)),
    ]


def test_matrices_that_are_stored_turned_around_are_quantised_upright(
    tensors: dict[str, StoredTensor],
) -> None:
    recipe = Recipe(name="e", tensor=tensors["e"], weights=WeightFormat.INT8, turned=True)
    upright = EXPERTS.transpose(1, 2).reshape(-1, 64)
    assert written(recipe) == raw(*quantise.to_int8(upright))


@pytest.mark.parametrize("name", ["m", "e", "n", "f"])
def test_what_is_not_quantised_is_copied(tensors: dict[str, StoredTensor], name: str) -> None:
    found = written(Recipe(name=name, tensor=tensors[name], weights=WeightFormat.NATIVE))
    assert found == raw({"m": MATRIX, "e": EXPERTS, "n": NORM, "f": MATRIX.float()}[name])


def test_the_low_half_of_a_byte_is_the_first_of_two_columns(tensors: dict[str, StoredTensor]) -> None:
    codes = np.frombuffer(
        written(Recipe(name="m", tensor=tensors["m"], weights=WeightFormat.INT4_32))[0], np.uint8
    )
    expected = quantise.to_int4(MATRIX, 32).codes
    assert codes[0] & 15 == int(expected[0, 0])
    assert codes[0] >> 4 == int(expected[0, 1])


def test_few_rows_are_held_at_a_time(
    tensors: dict[str, StoredTensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recode, "WEIGHTS_AT_ONCE", 256)
    recipe = Recipe(name="m", tensor=tensors["m"], weights=WeightFormat.INT8)
    assert max(len(piece.data) for piece in recode.encoded(recipe)) == 256
