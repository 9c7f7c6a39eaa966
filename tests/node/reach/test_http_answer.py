"""Whole answers of small web servers, by length, by chunks, by end of stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.reach import http_answer
from node.reach.http_answer import BadHttp, parse


def test_a_body_is_as_long_as_it_says_it_is() -> None:
    assert parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef") == (200, b"abc")


def test_a_body_without_a_length_ends_with_the_stream() -> None:
    assert parse(b"HTTP/1.0 500 Oops\r\nX: y\r\n\r\nabc") == (500, b"abc")


def test_chunks_are_joined() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert parse(data) == (200, b"abcde")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * http_answer.MAX_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_what_is_not_a_whole_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BadHttp):
        parse(data)


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail))
def test_any_bytes_are_an_answer_or_bad_http(data: bytes) -> None:
    try:
        status, body = parse(data)
    except BadHttp:
        return
    assert 0 <= status <= 999
    assert len(body) <= len(data)
