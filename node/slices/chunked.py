"""Reads tensors that lie in a store as chunks: each chunk is checked against its digest before anybody sees its bytes.

The folder of such a checkpoint holds `manifest.cbor` and a link to the chunks; its own name is the model's id, which
is the digest of the manifest. So a name is enough to know every byte. Format: `specs/weights.md` §Store.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from node.slices.errors import BadCheckpoint, DamagedChunk
from wire import limits
from wire.errors import WireError
from wire.manifest import Manifest
from wire.types import ModelId

MANIFEST: Final = "manifest.cbor"
CHUNKS: Final = "chunks"
_READERS: Final = 2
"""Threads that read and digest; a digest costs more than the read, and both let other threads run."""
_KEPT: Final = 2
"""Chunks that stay in memory once checked, for whoever reads a tensor row by row."""


def is_chunked(folder: Path) -> bool:
    """Whether a checkpoint's weights are chunks of a store."""
    return (folder / MANIFEST).exists()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest that the name of a checkpoint's folder asks for. Raises `BadCheckpoint`."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(limits.MAX_MANIFEST_BYTES + 1)
        if hashlib.sha256(data).digest() != ModelId.parse(folder.name).digest:
            raise BadCheckpoint(path, "is not the manifest that the folder's name asks for")
        return Manifest.decode(data)
    except OSError as error:
        raise BadCheckpoint(path, f"cannot be read ({error.strerror})") from error
    except (WireError, ValueError) as error:
        raise BadCheckpoint(path, f"is not a manifest ({error})") from error


class ChunkReader:
    """Reads checked chunks, several at once."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the checkpoint's."""
        self._chunks = folder / CHUNKS
        self._threads = ThreadPoolExecutor(_READERS, "chunk-reader")
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def path(self, digest: bytes) -> Path:
        """Where a chunk lies."""
        name = digest.hex()
        return self._chunks / name[:2] / name

    def fill(self, view: memoryview, digests: tuple[bytes, ...], total: int, offset: int) -> None:
        """Fill `view` with the bytes from `offset` on of a tensor of `total` bytes in these chunks.

        Raises:
            DamagedChunk: a chunk is not there, or does not have its digest. What is in `view` then counts for nothing.
        """
        size = limits.CHUNK_BYTES
        jobs: list[Callable[[], None]] = []
        for index in range(offset // size, -(-(offset + len(view)) // size)):
            start, end = index * size, min((index + 1) * size, total)
            at, until = max(start, offset), min(end, offset + len(view))
            inside = view[at - offset : until - offset]
            if len(inside) == end - start:
                jobs.append(partial(self._whole, inside, digests[index]))
            else:
                jobs.append(partial(self._part, inside, digests[index], end - start, at - start))
        if len(jobs) == 1:
            jobs[0]()
            return
        for done in [self._threads.submit(job) for job in jobs]:
            done.result()

    def _whole(self, view: memoryview, digest: bytes) -> None:
        """Read a chunk into the place it is wanted at."""
        path = self.path(digest)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DamagedChunk(path, digest, f"cannot be read ({error.strerror})") from error
        try:
            done = 0
            while done < len(view):
                count = os.preadv(file, [view[done:]], done)
                if count == 0:
                    raise DamagedChunk(path, digest, "is shorter than it should be")
                done += count
        except OSError as error:
            raise DamagedChunk(path, digest, f"cannot be read ({error.strerror})") from error
        finally:
            os.close(file)
        if hashlib.sha256(view).digest() != digest:
            raise DamagedChunk(path, digest, "does not hold the bytes that its name says")

    def _part(self, view: memoryview, digest: bytes, size: int, skipped: int) -> None:
        """Copy a part of a chunk, from memory when it was read a moment ago."""
        data = self._kept.get(digest)
        if data is None:
            fresh = bytearray(size)
            self._whole(memoryview(fresh), digest)
            data = bytes(fresh)
            self._kept[digest] = data
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        view[:] = data[skipped : skipped + len(view)]
