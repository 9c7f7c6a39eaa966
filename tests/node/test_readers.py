from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import readers
from node.errors import NodeError
from node.readers import Reader
from wire.errors import InvalidValue
from wire.tensors import WeightFormat
from wire.types import Address, LayerRange

WHOLE = readers.whole(0, 256)
RATE = readers.rate(32 * 1024, "nobody waits so long")
ALL: tuple[Reader, ...] = (
    readers.text, readers.path, readers.texts, readers.switch, WHOLE, readers.number(0, 1), readers.size, RATE,
    readers.dtype, readers.weights, readers.network, readers.address, readers.loopback, readers.contact,
    readers.signer, readers.device, readers.layers, readers.or_off(readers.address),
    readers.several(readers.layers),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=VALUES)
def test_whatever_a_file_may_hold_is_read_or_refused_in_words(value: object) -> None:
    for read in ALL:
        try:
            read(value)
        except ValueError as error:
            assert readers.complaint(error, value, "here").startswith("here")
        except NodeError as error:
            assert error.next_step


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (WHOLE, "007", 7),
        (WHOLE, 256, 256),
        (readers.number(0, 10), "1e1", 10.0),
        (readers.switch, "Off", False),
        (readers.texts, "a, b  c", ["a", "b", "c"]),
        (readers.size, 1000, 1000),
        (readers.size, "1.5K", 1536),
        (RATE, "32K", 32768),
        (RATE, 10**6, 10**6),
        (readers.weights, "int8", WeightFormat.INT8),
        (readers.path, "a/b", Path("a/b")),
        (readers.or_off(readers.address), "off", None),
        (readers.or_off(readers.address), False, None),
        (readers.or_off(readers.address), "[::1]:0", Address("::1", 0)),
        (readers.several(readers.layers), ["0:6", "8:9"], (LayerRange(0, 6), LayerRange(8, 9))),
        (readers.several(readers.layers), "0:6 8:9", (LayerRange(0, 6), LayerRange(8, 9))),
        (readers.loopback, "127.8.9.1:5", Address("127.8.9.1", 5)),
    ],
)
def test_a_value_is_read_as_it_is_used(read: Reader, value: object, found: object) -> None:
    assert read(value) == found


@pytest.mark.parametrize("value", ["", "257", "-1", "1.0", "²", "٣", "1_0", "9" * 5000, 1.0, True, None])
def test_what_is_no_whole_number_is_told_the_bounds(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a whole number from 0 to 256$"):
        WHOLE(value)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", 11, True, "ten", [], 10**400])
def test_what_is_no_number_is_told_the_bounds(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a number from 0 to 10$"):
        readers.number(0, 10)(value)


@pytest.mark.parametrize("value", ["31K", 1, "1" + "0" * 3, 32767.9])
def test_a_rate_that_is_of_no_use_is_refused_with_the_reason(value: object) -> None:
    with pytest.raises(InvalidValue, match=r"a second are too few: nobody waits so long; write 32K or more$"):
        RATE(value)


@pytest.mark.parametrize("value", ["0.0.0.0:1", "192.0.2.1:1", "[::]:1"])
def test_what_other_machines_reach_is_no_loopback(value: str) -> None:
    with pytest.raises(InvalidValue, match="open to other machines"):
        readers.loopback(value)


def test_a_complaint_names_the_place_and_what_was_expected() -> None:
    assert readers.complaint(ValueError("text"), 3, "a.toml: model") == "a.toml: model must be text, not 3"
    assert readers.complaint(InvalidValue("'x' is odd"), "x", "--size") == "--size: 'x' is odd"


def test_a_complaint_does_not_repeat_all_of_a_long_value() -> None:
    assert len(readers.complaint(ValueError("text"), ["x" * 5000], "here")) < 100
    for read in (readers.address, readers.contact, readers.layers, readers.device):
        with pytest.raises(InvalidValue) as caught:
            read("9" * 5000)
        assert len(str(caught.value)) < 200


def test_what_would_break_a_path_is_none() -> None:
    with pytest.raises(ValueError, match="a path"):
        readers.path("a\0b")
    with pytest.raises(ValueError, match="home directory is known"):
        readers.path("~nobody-of-that-name/x")
