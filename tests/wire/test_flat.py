"""What the flat reader takes, the strict decoder takes alike; it takes nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.cbor import dumps, loads
from wire.errors import BadMessage
from wire.flat import read_flat

VALUES = st.lists(st.integers(0, (1 << 64) - 1) | st.binary(max_size=300) | st.booleans(), max_size=8)


@given(VALUES, st.binary(max_size=5))
def test_plain_values_are_read(values: list[int | bytes | bool], before: bytes) -> None:
    assert read_flat(before + dumps(values), len(before), most=8) == values


@given(st.binary(max_size=60))
def test_what_is_read_the_strict_decoder_reads_alike(data: bytes) -> None:
    try:
        values = read_flat(data, 0, most=8)
    except BadMessage:
        return
    assert loads(data) == values


@pytest.mark.parametrize(
    "value", [[[]], [{}], ["text"], [None], [-1], [1.5], {}, 7, b"bytes", [1] * 9, [[]] * 8, [b"x", [1]]]
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(BadMessage):
        read_flat(dumps(value), 0, most=8)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x81", b"\x9f\xff", b"\x81\x58", b"\x81\x42a", b"\x81\x5f\x41a\xff", b"\x80\x00"),
        *(b"\x81\x1c", b"\x81\xc0\x00", b"\x82\x01", b"\x81\x5b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8),
    ],
)
def test_lengths_that_lie_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_flat(data, 0, most=8)
