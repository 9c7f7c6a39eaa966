"""A model of the store as a folder that looks like a checkpoint: its small files by name, its manifest, and the chunks.

    views/b.../config.json      a link to the chunk that it is
    views/b.../manifest.cbor    a link to the manifest's chunk
    views/b.../chunks           a link to all chunks
    views/b.../lamella.json     for a quantised model: which model it was made from

The folder holds nothing of its own but links, so it costs no room and no chunk is there twice. Who loads from it reads
the manifest, whose digest is the folder's name, and checks each chunk by it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from node import quantised
from node.small_file import replace_file
from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.errors import unusable
from wire.manifest import Manifest
from wire.types import ModelId

MANIFEST: Final = "manifest.cbor"
CHUNKS: Final = "chunks"
_UP: Final = Path("..", "..")
"""From a view to the store; links are relative, so that a store can be moved."""


def place(store: ChunkStore, model: ModelId) -> Path:
    """Where the folder of a model is, or would be."""
    return store.root / "views" / str(model)


def view(store: ChunkStore, model: ModelId, manifest: Manifest) -> Path:
    """Return the folder of a model, with those of its small files that are in the store, each checked now.

    Raises:
        CorruptChunk: a small file in the store is not what the manifest says.
        StoreUnusable: the folder cannot be made.
    """
    links = {MANIFEST: model.digest}
    for chunk in chunks_of(manifest, tensors=()):
        if store.has(chunk):
            store.read(chunk)
            links[chunk.name] = chunk.digest
    folder = place(store, model)
    with store.lock.held():
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            _link(folder / CHUNKS, _UP / CHUNKS)
            for name, digest in links.items():
                _link(folder / name, _UP / store.path(digest).relative_to(store.root))
            if manifest.base is not None:
                note = quantised.Note(model=manifest.base.model, weights=manifest.base.weights)
                _write(folder / quantised.FILE, quantised.encode(note))
        except OSError as error:
            raise unusable(folder, error) from error
    return folder


def remove(store: ChunkStore, model: ModelId) -> None:
    """Remove the folder of a model. Raises `StoreUnusable`."""
    with store.lock.held():
        folder = place(store, model)
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
        except OSError as error:
            raise unusable(folder, error) from error


def _link(path: Path, target: Path) -> None:
    """Make a link, in place of anything else of that name. Whoever reads meanwhile finds the one or the other."""
    with suppress(OSError):
        if path.readlink() == target:
            return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def _write(path: Path, data: bytes) -> None:
    with suppress(OSError):
        if not path.is_symlink() and path.read_bytes() == data:
            return
    replace_file(path, data)
