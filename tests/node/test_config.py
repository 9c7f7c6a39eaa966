from __future__ import annotations

from node.config import SliceRequest
from wire.types import LayerRange


def test_a_slice_is_written_for_people_with_its_layers_if_they_are_named() -> None:
    assert str(SliceRequest("pocket", LayerRange(6, 12))) == "pocket 6:12"
    assert str(SliceRequest("pocket", None)) == "pocket"
