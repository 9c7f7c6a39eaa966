"""Which slices can be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.slices.errors import InvalidSlice
from node.slices.spec import SliceSpec, is_device
from wire.types import LayerRange

FOLDER = Path("/nowhere")


def test_an_end_alone_is_a_slice_but_nothing_at_all_is_not() -> None:
    SliceSpec(checkpoint=FOLDER, layers=LayerRange(0, 0), embed=True)
    SliceSpec(checkpoint=FOLDER, layers=LayerRange(5, 5), head=True)
    with pytest.raises(InvalidSlice, match="empty"):
        SliceSpec(checkpoint=FOLDER, layers=LayerRange(2, 2))


def test_the_embedding_goes_only_with_layers_from_zero() -> None:
    with pytest.raises(InvalidSlice, match="from 0"):
        SliceSpec(checkpoint=FOLDER, layers=LayerRange(1, 3), embed=True)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InvalidSlice, match="int3"):
        SliceSpec(checkpoint=FOLDER, layers=LayerRange(1, 3), dtype="int3")


@pytest.mark.parametrize(("start", "end", "head"), [(0, 6, False), (4, 6, True), (1, 4, True)])
def test_layers_outside_the_model_or_a_head_not_at_its_end_are_refused(
    start: int, end: int, head: bool
) -> None:
    spec = SliceSpec(checkpoint=FOLDER, layers=LayerRange(start, end), head=head)
    with pytest.raises(InvalidSlice):
        spec.check(5)


def test_a_slice_within_the_model_passes() -> None:
    SliceSpec(checkpoint=FOLDER, layers=LayerRange(4, 5), head=True).check(5)


def test_layers_that_share_keys_are_not_parted() -> None:
    spec = SliceSpec(checkpoint=FOLDER, layers=LayerRange(3, 6))
    spec.check(8, (LayerRange(3, 6),))
    with pytest.raises(InvalidSlice, match=r"layers 5:8 share keys.*cut at 5 or 8"):
        spec.check(8, (LayerRange(5, 8),))


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_is_the_cpu_or_a_gpu(name: str) -> None:
    assert SliceSpec(checkpoint=FOLDER, layers=LayerRange(1, 3), device=name).device == name
    assert is_device(name)


@pytest.mark.parametrize(
    "name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", "cpu:0", "meta", "cuda:1\n"]
)
def test_an_unknown_device_is_refused(name: str) -> None:
    assert not is_device(name)
    with pytest.raises(InvalidSlice, match="not one of cpu, cuda and cuda:N"):
        SliceSpec(checkpoint=FOLDER, layers=LayerRange(1, 3), device=name)
