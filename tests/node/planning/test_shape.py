"""What layers cost adds up."""

from __future__ import annotations

from node.planning.shape import LayerShape
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange


def test_a_slice_weighs_its_layers_and_the_head_if_it_has_it() -> None:
    model = shape(4, 10, head_mb=7)
    assert model.num_layers == 4
    assert model.weight_bytes(LayerRange(1, 3), WeightFormat.NATIVE) == 20 * MB
    assert model.weight_bytes(LayerRange(3, 4), WeightFormat.INT8, head=True) == 8.5 * MB


def test_memory_for_positions_comes_in_blocks_and_ends_at_the_window() -> None:
    plain = LayerShape(weights={}, reads={}, position_bytes=10)
    assert [plain.kv_bytes(count) for count in (0, 1, 128, 129)] == [0, 1_280, 1_280, 2_560]
    sliding = LayerShape(weights={}, reads={}, position_bytes=10, most_positions=256)
    assert sliding.kv_bytes(10_000) == 2_560
    recurrent = LayerShape(weights={}, reads={}, position_bytes=0, state_bytes=77)
    assert recurrent.kv_bytes(10_000) == 77
    assert shape(4, position_bytes=2).kv_bytes(LayerRange(1, 3), 128) == 2 * 256


def test_no_slice_begins_or_ends_within_a_joined_stretch() -> None:
    model = shape(6, joined=(LayerRange(2, 5),))
    assert list(model.cuts()) == [0, 1, 2, 5, 6]
    assert not model.may_cut(3)
