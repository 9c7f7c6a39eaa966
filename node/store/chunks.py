"""The store: chunks by their digests, one copy of each, in a folder that several processes use at once.

    chunks/3f/3f8a...    the bytes whose SHA-256 that is
    models/b...          what models there are (`catalogue`)
    views/b.../          a folder for each model that looks like a checkpoint (`views`)
    leases/...           what live processes need (`lease`)
    new/                 what is being written
    lock                 held while anything is added or removed (`lock`)

A chunk is written beside its place and renamed into it, so a file of that name is whole unless the machine lost
power; it is not synced to disk, since every reader checks the digest and a wrong chunk is fetched again. Nothing is
written that no lease lists, and a lease lists only what fits: so the quota holds at every moment.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from node.paths import make_private
from node.store import quota
from node.store.catalogue import Catalogue, chunk_path
from node.store.errors import BadCheckpoint, CorruptChunk, QuotaExceeded, WrongBytes, unusable
from node.store.lease import LeaseFile, listed
from node.store.lock import FolderLock
from node.store.shelf import Place
from node.store.source import Chunk

_FOLDERS: Final = ("chunks", "models", "views", "leases", "new")


class ChunkStore:
    """Chunks on this machine's disk. All methods may be called from any thread."""

    def __init__(self, root: Path, *, quota_bytes: int | None = None) -> None:
        """Open the store, making its folders when they are missing.

        Args:
            root: may be a link to a folder elsewhere.
            quota_bytes: the most that chunks may take on disk, in whole blocks of 4 KiB; None for no bound.

        Raises:
            StoreUnusable: the folders cannot be made.
        """
        try:
            make_private(root)
            self.root = root.resolve()
            for name in _FOLDERS:
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unusable(Path(error.filename or root), error) from error
        self.quota_bytes = quota_bytes
        self.lock = FolderLock(self.root / "lock")
        self.catalogue = Catalogue(self.root, self.lock)

    def path(self, digest: bytes) -> Path:
        """Where a chunk lies, or would."""
        return chunk_path(self.root, digest)

    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk is here, by its length; what its bytes are is seen when they are read."""
        try:
            return self.path(chunk.digest).stat().st_size == chunk.size
        except OSError:
            return False

    def missing(self, chunks: Iterable[Chunk]) -> list[Chunk]:
        """Those of `chunks` that are not here, each digest once."""
        found: dict[bytes, Chunk] = {}
        for chunk in chunks:
            if chunk.digest not in found and not self.has(chunk):
                found[chunk.digest] = chunk
        return list(found.values())

    def locate(self, digest: bytes) -> Place | None:
        """Where a chunk's bytes are, unchecked; None when they are not here."""
        path = self.path(digest)
        try:
            return Place(path, 0, path.stat().st_size)
        except OSError:
            return None

    def read(self, chunk: Chunk) -> bytes:
        """Return a chunk's bytes, checked. Raises `CorruptChunk` when they are not here or are not those."""
        path = self.path(chunk.digest)
        try:
            with path.open("rb") as file:
                data = file.read(chunk.size + 1)
        except OSError as error:
            raise CorruptChunk(path, chunk.digest, f"cannot be read ({error.strerror})") from error
        if hashlib.sha256(data).digest() != chunk.digest:
            raise CorruptChunk(path, chunk.digest, "does not hold the bytes that its name says")
        return data

    def discard(self, digest: bytes) -> None:
        """Remove a chunk that turned out to be wrong, so that it is fetched again. Raises `StoreUnusable`."""
        with self.lock.held():
            try:
                self.path(digest).unlink(missing_ok=True)
            except OSError as error:
                raise unusable(self.path(digest), error) from error

    def lease(self) -> Lease:
        """Begin to need chunks. Raises `StoreUnusable`."""
        return Lease(self)

    def sizes(self) -> dict[bytes, int]:
        """The chunks that are here, by digest, each with its length in bytes. Raises `StoreUnusable`."""
        found: dict[bytes, int] = {}
        try:
            for folder in os.scandir(self.root / "chunks"):
                for entry in os.scandir(folder.path):
                    with suppress(ValueError, FileNotFoundError):
                        found[bytes.fromhex(entry.name)] = entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            raise unusable(self.root / "chunks", error) from error
        return found

    def in_use(self) -> dict[bytes, int]:
        """The chunks that live processes need, by digest, each with its length. Raises `StoreUnusable`."""
        with self.lock.held():
            return listed(self.root / "leases")

    def check(self, progress: Callable[[float], None] | None = None) -> list[bytes]:
        """Read every chunk that is here and return the digests of those that are wrong. Raises `StoreUnusable`."""
        sizes = self.sizes()
        total = sum(sizes.values()) or 1
        done = 0
        wrong = []
        for digest, size in sizes.items():
            try:
                self.read(Chunk(digest=digest, size=size, name=""))
            except CorruptChunk:
                # Unless it was removed meanwhile.
                if self.path(digest).exists():
                    wrong.append(digest)
            done += size
            if progress is not None:
                progress(done / total)
        return wrong

    def prune(self, *, quota_bytes: int) -> quota.Removal:
        """Remove what nobody needs until the chunks take at most `quota_bytes`, or all of it; see `quota.choose`.

        Raises:
            StoreUnusable: a file cannot be removed.
        """
        with self.lock.held():
            needed = listed(self.root / "leases")
            in_use = sum(map(quota.on_disk, needed.values()))
            removal = self._make_room(needed, max(quota_bytes, in_use))
            return replace(removal, short=max(0, in_use - quota_bytes))

    def admit(self, sizes: Mapping[bytes, int], file: LeaseFile) -> None:
        """List chunks in a lease once there is room for them; for `Lease`.

        Raises:
            QuotaExceeded: they do not fit beside what is in use.
            StoreUnusable: the lists or chunks cannot be changed.
        """
        with self.lock.held():
            needed = {**listed(self.root / "leases"), **sizes}
            removal = self._make_room(needed, self.quota_bytes)
            if removal.short:
                quota_bytes = self.quota_bytes or 0
                raise QuotaExceeded(
                    f"{_size(sum(map(quota.on_disk, needed.values())))} would be in use in {self.root}, whose quota is "
                    f"{_size(quota_bytes)}",
                    "raise --disk, serve fewer layers, or stop what else uses the store",
                )
            file.add(sizes)

    def put(self, chunk: Chunk, data: bytes) -> bool:
        """Write a chunk that a lease lists and whose bytes were checked; for `Lease`. Whether it was missing."""
        path = self.path(chunk.digest)
        new = self.root / "new" / path.name
        with self.lock.held():
            if self.has(chunk):
                return False
            try:
                # What is there was left by a process that was killed, since this one holds the lock.
                for left in (self.root / "new").iterdir():
                    left.unlink()
                path.parent.mkdir(mode=0o700, exist_ok=True)
                with new.open("xb") as file:
                    file.write(data)
                new.rename(path)
            except OSError as error:
                with suppress(OSError):
                    new.unlink(missing_ok=True)
                raise unusable(path, error) from error
        return True

    def _make_room(self, needed: Mapping[bytes, int], quota_bytes: int | None) -> quota.Removal:
        if quota_bytes is None:
            return quota.Removal(digests=(), freed=0, short=0)
        removal = quota.choose(
            present={digest: quota.on_disk(size) for digest, size in self.sizes().items()},
            needed={digest: quota.on_disk(size) for digest, size in needed.items()},
            quota=quota_bytes,
            used_last=self.catalogue.used_last(),
        )
        for digest in removal.digests:
            try:
                self.path(digest).unlink(missing_ok=True)
            except OSError as error:
                raise unusable(self.path(digest), error) from error
        return removal


class Lease:
    """The chunks that one user of the store needs; they stay until it is closed. A context manager."""

    def __init__(self, store: ChunkStore) -> None:
        """Made by `ChunkStore.lease`."""
        self.store = store
        self._needed: dict[bytes, int] = {}
        with store.lock.held():
            self._file = LeaseFile(store.root / "leases")
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pin(self, chunks: Iterable[Chunk]) -> None:
        """Need more chunks, which makes room for them.

        Raises:
            QuotaExceeded: they do not fit beside what is in use; none of them is pinned.
            BadCheckpoint: one of them has two sizes; none of them is pinned.
            StoreUnusable: the store cannot be changed.
        """
        sizes: dict[bytes, int] = {}
        for one in chunks:
            known = self._needed.get(one.digest, sizes.get(one.digest, one.size))
            if known != one.size:
                raise BadCheckpoint(
                    f"the manifest gives a chunk of {one.name} two sizes", "choose another model"
                )
            if one.digest not in self._needed:
                sizes[one.digest] = one.size
        self.store.admit(sizes, self._file)
        self._needed.update(sizes)

    def put(self, chunk: Chunk, data: bytes) -> bool:
        """Store the bytes of a pinned chunk. Returns whether they were missing.

        Raises:
            WrongBytes: they do not have its digest.
            ValueError: it is not pinned.
            DiskFull, StoreUnusable: it cannot be written; nothing of it is left.
        """
        if self._needed.get(chunk.digest) != chunk.size:
            raise ValueError("a chunk is pinned before it is stored")
        if len(data) != chunk.size or hashlib.sha256(data).digest() != chunk.digest:
            raise WrongBytes(chunk.name)
        return self.store.put(chunk, data)

    def close(self) -> None:
        """Need nothing any more. Safe to call twice."""
        if self._open:
            self._open = False
            self._file.close()


@contextmanager
def opened(root: Path, *, quota_bytes: int | None = None) -> Iterator[Lease]:
    """A lease on a store that is used for one thing."""
    with ChunkStore(root, quota_bytes=quota_bytes).lease() as held:
        yield held


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**7 else f"{count / 1e6:.3f} MB"
