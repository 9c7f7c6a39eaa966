"""What is on any shelf is found, wherever it is."""

from __future__ import annotations

from pathlib import Path

from node.store.catalogue import chunks_of, manifest_chunk
from node.store.chunks import ChunkStore
from node.store.folder_shelf import FolderShelf
from node.store.shelves import Shelves, StoreShelf
from tests.fakes.checkpoints import write_checkpoint
from wire.types import ModelId


def test_a_store_and_a_folder_are_one_shelf(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    stored = FolderShelf.of(write_checkpoint(tmp_path / "stored", {"a": b"1", "b": b"2"}))
    folder = FolderShelf.of(write_checkpoint(tmp_path / "folder", {"c": b"3"}))
    first, second = stored.known.model_id, folder.known.model_id
    chunks = chunks_of(stored.known)
    with store.lease() as lease:
        data = stored.known.encode()
        own = manifest_chunk(first, len(data))
        lease.pin([own, *chunks])
        lease.put(own, data)
        lease.put(chunks[1], b"1")
    store.catalogue.used(first, "hf:org/name@1")
    shelves = Shelves()
    assert shelves.held(first) is None
    shelves.add(StoreShelf(store))
    shelves.add(folder)
    assert shelves.held(first) == [chunks[1].digest]
    assert shelves.manifest(first) == data
    assert shelves.named("hf:org/name@1") == first
    assert shelves.held(second) == [one.digest for one in chunks_of(folder.known)]
    assert shelves.manifest(second) == folder.known.encode()
    place = shelves.locate(chunks[1].digest)
    assert place is not None
    assert place.path.read_bytes() == b"1"
    assert shelves.locate(chunks_of(folder.known)[0].digest) is not None
    assert shelves.locate(chunks[2].digest) is None
    assert shelves.manifest(ModelId(bytes(32))) is None
    assert shelves.named("other") is None
