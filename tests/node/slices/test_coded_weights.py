"""The parts of a quantised tensor are put together by their names, and have its own name, shape and size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from node.slices import coded_weights
from node.slices.coded_weights import CodedTensor
from node.slices.errors import BadCheckpoint
from node.slices.kernels import quantise
from node.slices.kernels.coded import Coded, to_nibbles
from node.slices.weights import StoredTensor, Weights

EIGHT = quantise.to_int8(torch.randn(8, 16).bfloat16())
FOUR = quantise.to_int4(torch.randn(8, 64).bfloat16(), 32)
TENSORS = {
    "a.weight.codes": EIGHT.codes,
    "a.weight.scale": EIGHT.scale,
    "b.weight.codes": to_nibbles(FOUR.codes),
    "b.weight.scale": FOUR.scale,
    "b.weight.zero": FOUR.zero,
    "c.turned": EIGHT.codes.clone().view(2, 4, 16),
    "c.scale": EIGHT.scale.clone().view(2, 4),
    "layer.scale": torch.ones(3),
    "norm.weight": torch.ones(4).bfloat16(),
}


def stored(folder: Path, tensors: dict[str, torch.Tensor]) -> dict[str, StoredTensor]:
    save_file(tensors, folder / "model.safetensors")
    opened = Weights(folder, wanted=lambda _: True, on_read=lambda _: None, codes=True)
    return dict(opened.tensors)


def test_parts_come_together_under_the_name_they_had(tmp_path: Path) -> None:
    found = coded_weights.gather(stored(tmp_path, TENSORS), 32)
    assert {name: source.shape for name, source in found.items()} == {
        "a.weight": (8, 16),
        "b.weight": (8, 64),
        "c": (2, 16, 4),
        "layer.scale": (3,),
        "norm.weight": (4,),
    }
    assert coded_weights.elements(found) == 128 + 512 + 128 + 7


def test_each_reads_itself_as_the_tensor_it_stands_for(tmp_path: Path) -> None:
    found = coded_weights.gather(stored(tmp_path, TENSORS), 32)
    for name, source in found.items():
        tensor = source[...]
        assert tensor.shape == source.shape, name
        assert isinstance(source, CodedTensor) == isinstance(tensor, Coded)
    a, b = quantise.to_int8(found["a.weight"][...]), quantise.to_int4(found["b.weight"][...], 32)
    assert all(torch.equal(one, other) for one, other in zip((*a, *b), (*EIGHT, *FOUR), strict=True))


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("x.weight.codes", "x.weight"),
        ("x.weight.scale", "x.weight"),
        ("x.weight.zero", "x.weight"),
        ("x.experts.down.turned", "x.experts.down"),
        ("x.weight", "x.weight"),
    ],
)
def test_the_name_of_a_part_says_what_it_is_a_part_of(name: str, base: str) -> None:
    assert coded_weights.base_name(name) == base


def test_4_bits_in_a_folder_of_8_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"b\.weight\.codes: is stored as U8"):
        coded_weights.gather(stored(tmp_path, TENSORS), None)


def test_an_empty_matrix_is_read(tmp_path: Path) -> None:
    tensors = {"a.codes": torch.zeros(0, 16, dtype=torch.int8), "a.scale": torch.zeros(0).bfloat16()}
    assert coded_weights.gather(stored(tmp_path, tensors), None)["a"][...].shape == (0, 16)
