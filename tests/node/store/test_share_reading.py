from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store import share_reading
from node.store.share_reading import NOT_HERE, Part, Vanished, blocks, framed, read, stretch
from node.store.shelf import Place


def place(path: Path, data: bytes, before: bytes = b"") -> Place:
    path.write_bytes(before + data + b"after")
    return Place(path=path, offset=len(before), size=len(data))


def test_a_stretch_of_a_chunk_is_read_where_it_lies(tmp_path: Path) -> None:
    assert read([stretch(place(tmp_path / "x", b"0123456789", b"head"), 2, 5)]) == b"234"


def test_chunks_of_a_batch_come_after_their_lengths(tmp_path: Path) -> None:
    parts = framed([place(tmp_path / "a", b"one"), None, place(tmp_path / "b", b"")])
    assert read(parts) == b"\0\0\0\3one" + NOT_HERE + b"\0\0\0\0"


@given(
    st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 40)), max_size=12),
    st.integers(8, 30),
    st.integers(1, 50),
)
def test_blocks_are_bounded_and_their_bytes_are_those_of_the_parts(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[bytes, int]], most: int, long: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks"
    path.write_bytes(bytes(range(100)))
    parts = [Part(head=head, path=path, offset=at, size=size) for at, (head, size) in enumerate(wanted)]
    whole = b"".join(read([part]) for part in parts)
    before, share_reading._LONG_BYTES = share_reading._LONG_BYTES, long  # type: ignore[misc] # short stretches stand in for long ones
    try:
        found = [read(block) for block in blocks(parts, lambda: most)]
    finally:
        share_reading._LONG_BYTES = before  # type: ignore[misc] # as above
    assert b"".join(found) == whole
    assert all(len(block) <= most + 4 for block in found)


def test_a_head_longer_than_a_block_is_one_by_itself() -> None:
    assert [
        read(block) for block in blocks([Part(head=b"a"), Part(head=b"b" * 9), Part(head=b"c")], lambda: 4)
    ] == [
        b"a",
        b"b" * 9,
        b"c",
    ]


def test_a_file_that_is_gone_or_cut_is_told(tmp_path: Path) -> None:
    here = place(tmp_path / "x", b"0123456789")
    part = stretch(here, 0, 10)
    os.truncate(here.path, 5)
    with pytest.raises(Vanished, match="shorter"):
        read([part])
    here.path.unlink()
    with pytest.raises(Vanished, match="No such file"):
        read([part])


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Vanished, match="not a plain file"):
        read([Part(path=tmp_path / "pipe", size=3)])
