from __future__ import annotations

from pathlib import Path

from node.store.shelf import Shelf
from tests.fakes.shelf import FakeShelf


def test_a_place_says_where_the_bytes_of_a_chunk_lie(tmp_path: Path) -> None:
    fake = FakeShelf(tmp_path)
    digest = fake.put(b"some bytes")
    shelf: Shelf = fake
    place = shelf.locate(digest)
    assert place is not None
    assert place.path.read_bytes()[place.offset : place.offset + place.size] == b"some bytes"
    assert shelf.locate(bytes(32)) is None
