"""A model of the store is a folder that a checkpoint's readers read, and it is a copy of nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node import quantised
from node.store import views
from node.store.catalogue import chunks_of, manifest_chunk
from node.store.checkpoint import build_manifest
from node.store.chunks import ChunkStore, Lease
from node.store.errors import CorruptChunk, StoreUnusable
from tests.fakes.checkpoints import write_checkpoint
from wire.manifest import Base, Manifest
from wire.tensors import WeightFormat
from wire.types import ModelId

BASE = ModelId(bytes(32))


def put(store: ChunkStore, folder: Path, base: Base | None = None) -> tuple[Manifest, Lease]:
    found = build_manifest(folder)
    manifest = Manifest(files=found.files, tensors=found.tensors, base=base)
    data = manifest.encode()
    lease = store.lease()
    mine = manifest_chunk(manifest.model_id, len(data))
    lease.pin([mine, *chunks_of(manifest)])
    lease.put(mine, data)
    for chunk in chunks_of(manifest, tensors=()):
        lease.put(chunk, (folder / chunk.name).read_bytes())
    return manifest, lease


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model", {"a": b"1234"})


def test_files_are_found_by_their_names(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, _ = put(store, folder)
    seen = views.view(store, manifest.model_id, manifest)
    assert seen.name == str(manifest.model_id)
    assert (seen / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    assert (seen / "manifest.cbor").read_bytes() == manifest.encode()
    assert all(path.is_symlink() for path in seen.iterdir())
    assert views.view(store, manifest.model_id, manifest) == seen
    views.remove(store, manifest.model_id)
    assert not seen.exists()


def test_a_moved_store_still_has_its_views(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, lease = put(store, folder)
    views.view(store, manifest.model_id, manifest)
    lease.close()
    shutil.move(store.root, tmp_path / "moved")
    moved = ChunkStore(tmp_path / "moved")
    assert (moved.root / "views" / str(manifest.model_id) / "config.json").exists()


def test_a_quantised_model_says_what_it_was_made_from(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, _ = put(store, folder, Base(BASE, WeightFormat.INT8))
    note = quantised.read(views.view(store, manifest.model_id, manifest))
    assert note == quantised.Note(model=BASE, weights=WeightFormat.INT8)


def test_what_someone_put_in_place_of_a_link_is_replaced(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, _ = put(store, folder, Base(BASE, WeightFormat.INT8))
    seen = views.view(store, manifest.model_id, manifest)
    for name in ("config.json", "lamella.json"):
        (seen / name).unlink()
        (seen / name).symlink_to("/etc/hostname")
    views.view(store, manifest.model_id, manifest)
    assert (seen / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    assert not (seen / "lamella.json").is_symlink()


def test_a_damaged_small_file_is_noticed(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, _ = put(store, folder)
    path = store.path(manifest.files[0].digest)
    path.write_bytes(path.read_bytes().replace(b"2", b"3"))
    with pytest.raises(CorruptChunk):
        views.view(store, manifest.model_id, manifest)


def test_a_view_that_cannot_be_made_is_named(tmp_path: Path, folder: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    manifest, _ = put(store, folder)
    (store.root / "views").rmdir()
    with pytest.raises(StoreUnusable, match="views"):
        views.view(store, manifest.model_id, manifest)
