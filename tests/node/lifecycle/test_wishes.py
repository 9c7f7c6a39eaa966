"""A slice is named in one line."""

from __future__ import annotations

import pytest

from node.lifecycle.wishes import MAX_MODEL_CHARS, SliceKey
from wire.errors import InvalidValue
from wire.types import LayerRange


def test_a_key_is_printed_for_people() -> None:
    assert str(SliceKey("pocket", LayerRange(0, 6))) == "pocket 0:6"
    assert str(SliceKey("pocket", None)) == "pocket all layers"
    assert str(SliceKey("pocket", LayerRange(3, 3))) == "pocket 3:3"


@pytest.mark.parametrize("model", ["", "a\nb", "\x1b[31m", "x" * (MAX_MODEL_CHARS + 1), "\ud800"])
def test_a_name_that_is_no_line_of_a_fitting_length_is_refused(model: str) -> None:
    with pytest.raises(InvalidValue, match="one line"):
        SliceKey(model, None)


def test_the_longest_name_is_taken() -> None:
    assert len(SliceKey("é" * MAX_MODEL_CHARS, None).model) == MAX_MODEL_CHARS
