"""Strict decoding: what is accepted, and everything that is not."""

from __future__ import annotations

import struct
import time
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import cbor, limits
from wire.errors import BadMessage, InvalidValue

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


def tagged(tag: int, content: bytes) -> bytes:
    for low, prefix, form in ((24, None, ""), (256, 0xD8, ">B"), (65536, 0xD9, ">H"), (1 << 32, 0xDA, ">I")):
        if tag < low:
            return (
                bytes((0xC0 | tag,)) if prefix is None else bytes((prefix,)) + struct.pack(form, tag)
            ) + content
    return b"\xdb" + struct.pack(">Q", tag) + content


@settings(max_examples=50)
@given(PLAIN)
def test_plain_values_survive_a_round_trip(value: Any) -> None:
    if depth(value) <= limits.MAX_CBOR_DEPTH:
        assert cbor.loads(cbor.dumps(value)) == value
        assert cbor.loads(cbor.canonical(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_bad_message(data: bytes) -> None:
    try:
        cbor.loads(data)
    except BadMessage as error:
        assert len(error.detail) < limits.MAX_DETAIL_CHARS


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_read(kind: type[bytes]) -> None:
    assert cbor.loads(kind(b"\x83\x01\x41a\x61b")) == [1, b"a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x5f\x41a\xff",
        b"\x9f\xff",
        b"\xbf\xff",
        b"\xa2\x61a\x01\x61a\x02",
        b"\xa1\x01\x02",
        b"\xa1\x80\x02",
        b"\xff",
        b"\x1c",
        b"\x9b" + b"\xff" * 8,
        b"\x5b\x7f" + b"\xff" * 7,
        b"\x7b\x00" + b"\xff" * 7,
        b"\xbb" + b"\xff" * 8,
        b"\x62\xff\xff",
        b"\x81" * (limits.MAX_CBOR_DEPTH + 1) + b"\x00",
        b"\x81" * 4000,
    ],
)
def test_malformed_or_lenient_forms_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        cbor.loads(data)


def test_nesting_to_the_bound_is_accepted() -> None:
    cbor.loads(b"\x81" * limits.MAX_CBOR_DEPTH + b"\x00")


@pytest.mark.parametrize("trailing", [b"\x00", b"\xf6" * 3])
def test_trailing_bytes_are_refused(trailing: bytes) -> None:
    with pytest.raises(BadMessage, match=f"{len(trailing)} bytes follow"):
        cbor.loads(b"\x01" + trailing)


def test_every_tag_is_refused() -> None:
    for tag in (*range(2000), *range(2000, 70_000, 101), (1 << 32) - 1, 1 << 32, (1 << 64) - 1):
        with pytest.raises(BadMessage):
            cbor.loads(tagged(tag, b"\x61a"))


@pytest.mark.parametrize("content", [b"\x00", b"\x41a", b"\x82\x00\x01", b"\xa0", b"\xf6"])
def test_every_tag_the_library_knows_is_refused_whatever_it_holds(content: bytes) -> None:
    for tag in (*range(300), 1004, 43_000, 55_799):
        with pytest.raises(BadMessage):
            cbor.loads(tagged(tag, content))


def test_a_tag_deep_inside_is_refused() -> None:
    with pytest.raises(BadMessage):
        cbor.loads(cbor2.dumps([1, [{"a": cbor2.CBORTag(35, "(a+)+b")}]]))


def test_size_is_checked_before_decoding() -> None:
    with pytest.raises(BadMessage, match="at most 4096"):
        cbor.loads(b"\x5a\x00\x00\x10\x00" + bytes(4096))
    assert cbor.loads(b"\x5a\x00\x00\x10\x00" + bytes(4096), max_bytes=5000) == bytes(4096)


def test_the_widest_header_decodes_quickly() -> None:
    data = b"\x99\x0f\xf0" + b"\xa0" * 4080
    started = time.process_time()
    cbor.loads(data)
    assert time.process_time() - started < 0.1


def test_canonical_is_independent_of_insertion_order() -> None:
    assert (
        cbor.canonical({"bb": 1, "a": 2})
        == cbor.canonical({"a": 2, "bb": 1})
        == bytes.fromhex("a261610262626201")
    )


@pytest.mark.parametrize("value", [memoryview(b"ab"), {1}, object(), [memoryview(b"")]])
def test_canonical_refuses_what_has_no_single_form(value: object) -> None:
    with pytest.raises(InvalidValue):
        cbor.canonical(value)
