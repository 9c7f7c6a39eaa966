"""Which models the store knows: for each a small file with what it is called and when it was used.

A model's manifest is a chunk like any other, since its digest is the model's id; the files here only say which chunks
are manifests. `used` counts up with every use of any model: clocks jump, and this does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from node.small_file import replace_file
from node.store.errors import unusable
from node.store.lock import FolderLock
from node.store.source import Chunk
from wire import limits
from wire.errors import WireError
from wire.manifest import Manifest
from wire.types import ModelId

_MAX_ENTRY_BYTES: Final = 64 * 1024
_MAX_NAMES: Final = 16
_MAX_NAME_CHARS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the store."""

    model: ModelId
    names: tuple[str, ...] = ()
    """What it was fetched or published as, the latest first: `hf:org/name@commit`, or a folder's name."""
    used: int = 0


def chunk_path(root: Path, digest: bytes) -> Path:
    """Where a chunk lies in the store at `root`, or would."""
    name = digest.hex()
    return root / "chunks" / name[:2] / name


def manifest_chunk(model: ModelId, size: int) -> Chunk:
    """A manifest as the chunk that it is."""
    return Chunk(digest=model.digest, size=size, name="the manifest", is_file=True)


def chunks_of(
    manifest: Manifest, tensors: Iterable[str] | None = None, files: Iterable[str] | None = None
) -> list[Chunk]:
    """The chunks of a model, in the order of the manifest.

    Args:
        tensors: names of those that are wanted; None for all.
        files: names of the small files that are wanted; None for all.
    """
    wanted = None if tensors is None else frozenset(tensors)
    small = None if files is None else frozenset(files)
    found = [
        Chunk(digest=one.digest, size=one.size, name=one.name, is_file=True)
        for one in manifest.files
        if small is None or one.name in small
    ]
    for tensor in manifest.tensors:
        if wanted is None or tensor.name in wanted:
            for index, digest in enumerate(tensor.chunks):
                offset = index * limits.CHUNK_BYTES
                size = min(limits.CHUNK_BYTES, tensor.size - offset)
                found.append(Chunk(digest=digest, size=size, name=tensor.name, offset=offset))
    return found


class Catalogue:
    """The models of one store."""

    def __init__(self, root: Path, lock: FolderLock) -> None:
        """Made by `ChunkStore`."""
        self._root = root
        self._lock = lock

    def manifest(self, model: ModelId) -> Manifest | None:
        """A model's manifest, checked; None when it is not here or is damaged."""
        try:
            with chunk_path(self._root, model.digest).open("rb") as file:
                data = file.read(limits.MAX_MANIFEST_BYTES + 1)
            if hashlib.sha256(data).digest() != model.digest:
                return None
            return Manifest.decode(data)
        except (OSError, WireError):
            return None

    def entries(self) -> list[Entry]:
        """Every model that is known, the one used last first. Raises `StoreUnusable`."""
        found = []
        try:
            for path in (self._root / "models").iterdir():
                with suppress(ValueError):
                    found.append(self._read(ModelId.parse(path.name)))
        except OSError as error:
            raise unusable(self._root / "models", error) from error
        return sorted(found, key=lambda one: -one.used)

    def used(self, model: ModelId, *names: str) -> None:
        """Note that a model is used now, and by which names it is known besides. Raises `StoreUnusable`."""
        with self._lock.held():
            entries = self.entries()
            latest = entries[0].used if entries else 0
            entry = self._read(model)
            known = dict.fromkeys((*(name[:_MAX_NAME_CHARS] for name in names), *entry.names))
            self._write(replace(entry, names=tuple(known)[:_MAX_NAMES], used=latest + 1))

    def forget(self, model: ModelId) -> None:
        """Drop a model from the list; its chunks go when room is needed. Raises `StoreUnusable`."""
        with self._lock.held():
            path = self._root / "models" / str(model)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise unusable(path, error) from error

    def called(self, name: str) -> ModelId | None:
        """The model that is known by a name. Raises `StoreUnusable`."""
        return next((one.model for one in self.entries() if name in one.names), None)

    def not_called(self, name: str) -> None:
        """Forget which model a name is of. Raises `StoreUnusable`."""
        with self._lock.held():
            for entry in self.entries():
                if name in entry.names:
                    self._write(replace(entry, names=tuple(one for one in entry.names if one != name)))

    def used_last(self) -> Iterator[list[bytes]]:
        """The digests of each model's chunks, manifest included, the model used longest ago first."""
        for entry in reversed(self.entries()):
            manifest = self.manifest(entry.model)
            if manifest is not None:
                yield [entry.model.digest, *(chunk.digest for chunk in chunks_of(manifest))]

    def _read(self, model: ModelId) -> Entry:
        """What is noted of a model; what cannot be read is as if nothing was."""
        try:
            with (self._root / "models" / str(model)).open("rb") as file:
                value: Any = json.loads(file.read(_MAX_ENTRY_BYTES))
            names = tuple(str(name)[:_MAX_NAME_CHARS] for name in value["names"][:_MAX_NAMES])
            return Entry(model=model, names=names, used=max(0, int(value["used"])))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return Entry(model=model)

    def _write(self, entry: Entry) -> None:
        path = self._root / "models" / str(entry.model)
        try:
            replace_file(path, json.dumps({"names": entry.names, "used": entry.used}).encode())
        except OSError as error:
            raise unusable(path, error) from error
