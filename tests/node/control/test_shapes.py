"""Records travel as objects and come back the same."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control.commands import COMMANDS
from node.control.errors import Unfit
from node.control.results import Hosting, Joined, Peers, Sessions, Status
from node.control.shapes import Record, parts, plain, read
from tests.fakes.control import SLICE, STATUS
from wire.types import LayerRange

RECORDS = sorted(
    {kind for one in COMMANDS.values() for kind in (one.arguments, one.progress, one.result)},
    key=lambda kind: kind.__name__,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LAYERS = st.tuples(st.integers(0, 99), st.integers(1, 99)).map(lambda pair: LayerRange(pair[0], sum(pair)))
st.register_type_strategy(LayerRange, LAYERS)
st.register_type_strategy(float, NUMBERS)
st.register_type_strategy(int, st.integers(0, (1 << 53) - 1))


@dataclasses.dataclass(frozen=True)
class _Odd:
    field: bytes


@pytest.mark.parametrize("record", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_record_can_travel(record: type[Any]) -> None:
    assert set(parts(record)) == {one.name for one in dataclasses.fields(record)}


@given(st.one_of(*(st.builds(kind) for kind in (Status, Hosting, Joined, Peers, Sessions))))
def test_a_record_comes_back_as_it_was(record: Any) -> None:
    assert read(type(record), json.loads(json.dumps(plain(record)))) == record


def test_a_field_that_is_not_known_is_passed_over() -> None:
    assert read(Status, {**plain(STATUS), "newer": [1]}) == STATUS


def test_a_field_that_may_be_left_out_has_its_default() -> None:
    raw = plain(SLICE)
    del raw["sessions"], raw["detail"]
    assert Record(type(SLICE)).read(raw) == SLICE


def test_a_missing_field_is_named() -> None:
    raw = plain(STATUS)
    del raw["pid"]
    with pytest.raises(Unfit, match="Status has no pid"):
        read(Status, raw)


@pytest.mark.parametrize("raw", [None, [], "x"])
def test_what_is_no_object_is_no_record(raw: object) -> None:
    with pytest.raises(Unfit, match="not an object"):
        read(Status, raw)


def test_a_field_deep_within_is_named_by_its_way() -> None:
    raw = plain(STATUS)
    raw["slices"][0]["state"] = "asleep"
    with pytest.raises(Unfit, match="slices: state: 'asleep' is not one of"):
        read(Status, raw)


def test_an_annotation_that_cannot_travel_is_a_defect() -> None:
    with pytest.raises(TypeError, match="cannot travel"):
        parts(_Odd)
