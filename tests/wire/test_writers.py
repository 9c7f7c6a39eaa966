"""What is written straight to bytes is what the library writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.message_values import DECLARATIONS, largest, legal, smallest
from wire.cbor import dumps, loads
from wire.fields import Field, Maybe, Nested, Several, UInt
from wire.types import LayerRange
from wire.writers import head, key, map_head, uint, writer

EVERY_FIELD = [(f"{one.name}.{name}", field) for one in DECLARATIONS for name, field in one.fields.items()]


@pytest.mark.parametrize("field", [field for _, field in EVERY_FIELD], ids=[name for name, _ in EVERY_FIELD])
def test_each_field_of_each_message_is_written_as_the_library_writes_it(field: Field) -> None:
    write = writer(field)

    def compare(raw: Any) -> None:
        value = field.decode(raw)
        if value is not None:
            assert write(value) == dumps(field.encode(value))

    @given(legal(field))
    def compare_any(raw: Any) -> None:
        compare(raw)

    compare_any()
    compare(smallest(field))
    compare(largest(field))


@pytest.mark.parametrize("bits", [0, 4, 5, 8, 16, 32, 63, 64])
def test_numbers_take_the_shortest_form_at_every_border(bits: int) -> None:
    for value in {max(0, (1 << bits) - 2), (1 << bits) - 1, min(1 << bits, (1 << 64) - 1), 23, 24}:
        assert uint(value) == dumps(value)


@given(st.integers(0, 70_000))
def test_heads_of_texts_and_maps(size: int) -> None:
    assert head(3, size) == dumps("x" * size)[: -size or None]
    assert key("x" * size) == dumps("x" * size)
    assert map_head(size % 300) == dumps(dict.fromkeys(range(size % 300)))[: len(map_head(size % 300))]


def test_a_map_with_an_absent_part_leaves_it_out() -> None:
    class Loose:
        start, end = 1, None

    field = Nested(LayerRange, {"start": UInt(3), "end": Maybe(UInt(3))})
    assert loads(writer(field)(Loose())) == {"start": 1}
    assert loads(writer(Several(field, 2))((Loose(), Loose()))) == [{"start": 1}, {"start": 1}]
