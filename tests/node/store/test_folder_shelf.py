"""Every chunk of a folder is found where it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from node.store.catalogue import chunks_of
from node.store.checkpoint import build_manifest
from node.store.folder_shelf import FolderShelf
from tests.fakes.checkpoints import write_checkpoint
from wire import limits
from wire.types import ModelId


def test_each_chunk_lies_where_the_shelf_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES", 100)
    folder = write_checkpoint(tmp_path, {"a": b"1" * 250, "b": b"2" * 99}, {"c": b"3" * 101, "d": b""})
    shelf = FolderShelf.of(folder)
    chunks = chunks_of(shelf.known)
    assert len(chunks) == 1 + 3 + 1 + 2
    for chunk in chunks:
        place = shelf.locate(chunk.digest)
        assert place is not None
        data = place.path.read_bytes()[place.offset : place.offset + place.size]
        assert hashlib.sha256(data).digest() == chunk.digest
    assert shelf.locate(bytes(32)) is None


def test_it_knows_its_own_model_only(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, {"a": b"1"})
    shelf = FolderShelf.described(folder, build_manifest(folder))
    model = build_manifest(folder).model_id
    assert shelf.manifest(model) == shelf.known.encode()
    assert set(shelf.held(model) or ()) == {one.digest for one in chunks_of(shelf.known)}
    assert shelf.manifest(ModelId(bytes(32))) is None
    assert shelf.held(ModelId(bytes(32))) is None


def test_a_file_that_was_written_to_is_not_given_any_more(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, {"a": b"1" * 100}, {"b": b"2" * 100})
    shelf = FolderShelf.of(folder)
    config, first, second = chunks_of(shelf.known)
    path = folder / "model-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"3")
    assert shelf.locate(first.digest) is None
    path.unlink()
    assert shelf.locate(first.digest) is None
    assert shelf.locate(second.digest) is not None
    assert shelf.locate(config.digest) is not None
