"""Each kind of field: what it takes, what it refuses, what it says of itself."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.message_values import DECLARATIONS, largest, legal, refused, smallest
from wire import limits
from wire.errors import BadMessage
from wire.fields import (
    ADDRESS,
    DTYPE,
    LAYERS,
    MODEL_ID,
    PEER_ID,
    SAMPLING,
    SESSION_ID,
    SHAPE,
    Bool,
    Bytes,
    Field,
    Float,
    Maybe,
    Nested,
    OneOf,
    Several,
    Text,
    UInt,
    nested_names,
)
from wire.types import Address, LayerRange


class Level(Enum):
    LOW = 1
    HIGH = 2


FIELDS: tuple[Field, ...] = (
    *(
        UInt(7),
        Bool(),
        Float(-1.0, 2.5),
        Bytes(3),
        Text(5),
        OneOf(Level),
        Several(UInt(3), 4, 2),
        Maybe(UInt(3)),
    ),
    *(PEER_ID, MODEL_ID, SESSION_ID, LAYERS, ADDRESS, DTYPE, SHAPE, SAMPLING),
)
every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda one: type(one).__name__)


@every_field
def test_a_legal_value_survives_a_round_trip(field: Field) -> None:
    @given(legal(field))
    def round_trip(raw: Any) -> None:
        value = field.decode(raw)
        assert field.decode(field.encode(value)) == value

    round_trip()


@every_field
def test_values_at_the_bounds_are_taken(field: Field) -> None:
    for raw in (smallest(field), largest(field)):
        assert field.encode(field.decode(raw)) == raw


@every_field
def test_values_past_the_bounds_and_of_other_types_are_refused(field: Field) -> None:
    assert refused(field)
    for raw in refused(field):
        with pytest.raises(BadMessage) as caught:
            field.decode(raw)
        assert len(caught.value.detail) <= limits.MAX_DETAIL_CHARS


@every_field
def test_a_field_says_its_type_on_one_line(field: Field) -> None:
    assert field.kind
    assert "\n" not in field.kind
    assert "\\" not in field.kind


def test_an_integer_may_stand_for_a_float_but_not_the_other_way_round() -> None:
    assert Float(0.0, 2.0).decode(1) == 1.0
    assert type(Float(0.0, 2.0).decode(1)) is float
    with pytest.raises(BadMessage):
        UInt(2).decode(1.0)


@pytest.mark.parametrize("raw", [10**300, 1 << 64, -(1 << 64)])
def test_an_integer_too_large_for_a_float_field_is_refused(raw: int) -> None:
    with pytest.raises(BadMessage):
        Float(0.0, 100.0).decode(raw)


@given(st.text())
def test_text_made_to_fit_is_accepted(text: str) -> None:
    field = Text(12)
    assert field.decode(field.fit(text)) == field.fit(text)
    if text.isprintable() and len(text) <= 12:
        assert field.fit(text) == text


def test_unknown_keys_of_a_map_are_ignored_as_in_messages() -> None:
    whole = smallest(SAMPLING)
    assert SAMPLING.decode({**whole, "later": [1], b"x": 2}) == SAMPLING.decode(whole)


def test_an_absent_part_of_a_map_is_left_out() -> None:
    field = Nested(LayerRange, {"start": UInt(3), "end": Maybe(UInt(3))})
    assert field.encode(LayerRange(1, 2)) == {"start": 1, "end": 2}

    class Loose:
        start, end = 1, None

    assert field.encode(Loose()) == {"start": 1}


def test_a_map_whose_parts_contradict_each_other_is_refused() -> None:
    with pytest.raises(BadMessage, match="not a range"):
        Nested(LayerRange, {"start": UInt(3), "end": UInt(3)}).decode({"start": 2, "end": 1})


def test_addresses_that_are_spelt_differently_are_the_same() -> None:
    assert ADDRESS.decode("[0:0::1]:7311") == ADDRESS.decode("[::1]:7311") == Address("::1", 7311)


def nested(field: Field) -> list[Nested]:
    """All maps a field holds, at any depth."""
    match field:
        case Nested(parts=parts):
            return [field, *(one for part in parts.values() for one in nested(part))]
        case Several(of=of) | Maybe(of=of):
            return nested(of)
    return []


def test_maps_name_every_attribute_of_their_class() -> None:
    found = [one for entry in DECLARATIONS for field in entry.fields.values() for one in nested(field)]
    assert len(found) >= 4
    for one in found:
        assert tuple(one.parts) == nested_names(one.cls)
