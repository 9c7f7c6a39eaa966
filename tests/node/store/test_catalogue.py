"""The store knows its models by id and by name, and which was used last, whatever the clock says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from node.store.catalogue import chunks_of, manifest_chunk
from node.store.checkpoint import build_manifest
from node.store.chunks import ChunkStore
from tests.fakes.checkpoints import write_checkpoint
from wire import limits
from wire.manifest import Manifest
from wire.types import ModelId


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path / "store")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return build_manifest(write_checkpoint(tmp_path / "model", {"a": b"1" * 5_000_000, "b": b"2", "c": b""}))


def add(store: ChunkStore, manifest: Manifest, *names: str) -> ModelId:
    data = manifest.encode()
    with store.lease() as lease:
        chunk = manifest_chunk(manifest.model_id, len(data))
        lease.pin([chunk])
        lease.put(chunk, data)
    store.catalogue.used(manifest.model_id, *names)
    return manifest.model_id


def test_a_manifest_is_found_by_its_id_and_by_its_names(store: ChunkStore, manifest: Manifest) -> None:
    model = add(store, manifest, "hf:org/name@1", "name")
    again = ChunkStore(store.root).catalogue
    assert again.manifest(model) == manifest
    assert again.called("hf:org/name@1") == model
    assert again.called("name") == model
    assert again.called("other") is None
    assert again.manifest(ModelId(bytes(32))) is None


def test_a_damaged_manifest_is_not_one(store: ChunkStore, manifest: Manifest) -> None:
    model = add(store, manifest)
    path = store.path(model.digest)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert store.catalogue.manifest(model) is None


def test_the_last_used_is_the_last_to_go(store: ChunkStore, manifest: Manifest) -> None:
    empty = Manifest(files=(), tensors=())
    first, second = add(store, manifest), add(store, empty)
    assert [one.model for one in store.catalogue.entries()] == [second, first]
    store.catalogue.used(first)
    assert [one.model for one in store.catalogue.entries()] == [first, second]
    order = list(store.catalogue.used_last())
    assert order[0] == [second.digest]
    assert order[1][0] == first.digest
    assert len(order[1]) == 1 + 1 + 2 + 1
    store.catalogue.forget(first)
    assert [one.model for one in store.catalogue.entries()] == [second]


def test_damaged_notes_lose_a_name_and_nothing_else(store: ChunkStore, manifest: Manifest) -> None:
    model = add(store, manifest, "name")
    for damage in (b"", b"[]", b"{", b'{"names": 3, "used": "x"}', b"[" * 100_000):
        (store.root / "models" / str(model)).write_bytes(damage)
        (entry,) = store.catalogue.entries()
        assert (entry.model, entry.names) == (model, ())
    store.catalogue.used(model, "name")
    assert store.catalogue.called("name") == model


def test_names_are_bounded(store: ChunkStore, manifest: Manifest) -> None:
    model = add(store, manifest)
    for number in range(40):
        store.catalogue.used(model, f"{number}" + "x" * 1000)
    (entry,) = store.catalogue.entries()
    assert len(entry.names) == 16
    assert entry.names[0].startswith("39x")
    assert max(map(len, entry.names)) == 512


def test_chunks_cover_each_tensor_and_file_once(manifest: Manifest) -> None:
    chunks = chunks_of(manifest)
    assert [(one.name, one.offset, one.size) for one in chunks] == [
        ("config.json", 0, 24),
        ("a", 0, limits.CHUNK_BYTES),
        ("a", limits.CHUNK_BYTES, 5_000_000 - limits.CHUNK_BYTES),
        ("b", 0, 1),
    ]
    assert chunks[-1].digest == hashlib.sha256(b"2").digest()
    assert [one.name for one in chunks_of(manifest, tensors=["b"], files=())] == ["b"]
    assert [one.name for one in chunks_of(manifest, tensors=(), files=["config.json"])] == ["config.json"]


def test_a_name_can_be_taken_from_a_model_again(store: ChunkStore, manifest: Manifest) -> None:
    model = add(store, manifest, "hf:org/name@1", "name")
    store.catalogue.not_called("hf:org/name@1")
    store.catalogue.not_called("of nobody")
    assert store.catalogue.called("hf:org/name@1") is None
    assert store.catalogue.called("name") == model
