from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.digest import MAX_LABEL_BYTES, framed, label, sha256
from crypto.errors import InvalidLabel


def unframe(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[:4], "big")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts


@given(st.lists(st.binary()))
def test_a_digest_over_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    assert sha256(*parts) == hashlib.sha256(b"".join(parts)).digest()


@given(st.lists(st.binary(max_size=300)))
def test_framed_parts_can_be_read_back_so_no_two_lists_join_alike(parts: list[bytes]) -> None:
    assert unframe(framed(*parts)) == parts


def test_framing_tells_where_one_part_ends() -> None:
    assert framed(b"ab", b"c") != framed(b"a", b"bc")
    assert framed() != framed(b"")


def test_any_buffer_can_be_framed_and_hashed() -> None:
    assert framed(bytearray(b"ab"), memoryview(b"c")) == framed(b"ab", b"c")
    assert sha256(memoryview(b"abc")) == sha256(b"abc")


@pytest.mark.parametrize("text", ["", "x" * (MAX_LABEL_BYTES + 1), "é" * MAX_LABEL_BYTES, "\ud800"])
def test_a_label_that_is_empty_too_long_or_not_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidLabel):
        label(text)


def test_a_label_is_its_utf8() -> None:
    assert label("é" * 127) == ("é" * 127).encode()
