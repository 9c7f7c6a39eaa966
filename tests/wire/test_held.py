from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import BadMessage
from wire.held import bitmap, bitmap_size, distinct, read_bitmap
from wire.limits import CHUNK_BYTES
from wire.manifest import FileEntry, Manifest, TensorEntry


def digest(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


def tensor(name: str, *chunks: bytes) -> TensorEntry:
    size = CHUNK_BYTES * len(chunks)
    return TensorEntry(name=name, dtype="U8", shape=(size,), size=size, chunks=chunks)


def test_files_come_before_tensors_and_a_digest_that_comes_again_counts_once() -> None:
    manifest = Manifest(
        files=(FileEntry(name="config.json", size=1, digest=digest(9)),),
        tensors=(tensor("a", digest(1), digest(2)), tensor("b", digest(1), digest(3))),
    )
    assert distinct(manifest) == (digest(9), digest(1), digest(2), digest(3))


def test_the_first_chunk_is_the_highest_bit() -> None:
    order = [digest(number) for number in range(10)]
    assert bitmap(order, {order[0], order[7], order[9]}) == bytes([0b1000_0001, 0b0100_0000])


def test_no_chunks_are_no_bytes() -> None:
    assert bitmap([], ()) == b""
    assert read_bitmap([], b"") == frozenset()


@given(st.integers(0, 40), st.data())
def test_what_is_written_is_read_again(count: int, data: st.DataObject) -> None:
    order = [digest(number) for number in range(count)]
    held = data.draw(st.frozensets(st.sampled_from(order))) if order else frozenset()
    bits = bitmap(order, held)
    assert len(bits) == bitmap_size(count)
    assert read_bitmap(order, bits) == held


@given(st.integers(0, 40), st.binary(max_size=6))
def test_any_bytes_are_a_bitmap_of_one_spelling_or_refused(count: int, bits: bytes) -> None:
    order = [digest(number) for number in range(count)]
    try:
        held = read_bitmap(order, bits)
    except BadMessage:
        return
    assert bitmap(order, held) == bits


@pytest.mark.parametrize("bits", [b"", b"\x00\x00", b"\x01", b"\xff"])
def test_a_wrong_length_or_a_bit_for_no_chunk_is_refused(bits: bytes) -> None:
    with pytest.raises(BadMessage):
        read_bitmap([digest(number) for number in range(7)], bits)
