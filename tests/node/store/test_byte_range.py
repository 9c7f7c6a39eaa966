from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.byte_range import Unsatisfiable, parse


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-", (3, 10)),
        ("bytes=3-1000000", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-400", (0, 10)),
        ("BYTES=1-2", (1, 3)),
    ],
)
def test_one_stretch_is_understood(header: str, span: tuple[int, int]) -> None:
    assert parse(header, 10) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=0-1,3-4",
        "chunks=0-1",
        "bytes=a-b",
        "bytes=0-1;",
        "bytes 0-1",
        "bytes=٣-٤",
        "bytes=0x1-2",
        "bytes=--1",
        "bytes=" + "9" * 30 + "-",
    ],
)
def test_anything_else_is_as_if_not_sent(header: str | None) -> None:
    assert parse(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_without_a_byte_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse(header, size)


@given(
    st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True), st.integers(0, 5000)
)
def test_any_header_is_a_stretch_of_what_is_there(header: str, size: int) -> None:
    try:
        span = parse(header, size)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span[0] < span[1] <= size
