"""Bytes are cut into lines, however they come; lines are JSON objects or refused."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control.codes import ErrorCode
from node.control.errors import BadRequest
from node.control.lines import LineSplitter, dump, load

MOST = 16


def _cut(chunks: list[bytes]) -> list[bytes | None]:
    splitter = LineSplitter(MOST)
    return [line for chunk in chunks for line in splitter.feed(chunk)]


@given(data=st.text(alphabet="ab\n", max_size=200).map(str.encode), cuts=st.lists(st.integers(0, 200)))
def test_lines_are_the_same_however_the_stream_is_split(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole = [line if len(line) < MOST else None for line in data.split(b"\n")]
    last = whole.pop()
    assert _cut(chunks) == whole + ([None] if last is None else [])


def test_a_line_that_is_too_long_is_told_once_and_the_next_is_read() -> None:
    assert _cut([b"x" * 40, b"x" * 40, b"x\nab\n"]) == [None, b"ab"]


def test_a_line_of_the_greatest_length_is_taken() -> None:
    assert _cut([b"x" * (MOST - 1) + b"\n"]) == [b"x" * (MOST - 1)]
    assert _cut([b"x" * MOST + b"\n"]) == [None]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[]",
        b"1",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":-1e999}',
        b"[" * 9000,
        b'{"a":' * 3000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_object_is_malformed(line: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        load(line)
    assert refused.value.code is ErrorCode.MALFORMED


@given(st.binary(max_size=200))
def test_any_line_is_an_object_or_malformed(line: bytes) -> None:
    try:
        assert isinstance(load(line), dict)
    except BadRequest as error:
        assert error.code is ErrorCode.MALFORMED


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()))
def test_an_object_comes_back_from_one_line_of_ascii(raw: dict[str, object]) -> None:
    line = dump(raw)
    assert line.isascii() and line.count(b"\n") == 1 and line.endswith(b"\n")
    assert load(line) == raw


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_does_not_have_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        dump({"a": value})
