"""What an answer is made of, read from disk a block at a time.

An answer is a list of parts: a few bytes of framing, a stretch of a file, or both. Each block opens the files that it
needs and closes them again: an answer that waits for its reader holds no file open.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.store.shelf import Place
from wire import limits

LENGTH_BYTES: Final = 4
"""Before each chunk of a batch: how long it is, most significant byte first."""
_LONG_BYTES: Final = 256 * 1024
NOT_HERE: Final = b"\xff\xff\xff\xff"
"""In place of a length: the chunk is not here, and no bytes follow."""


class Vanished(Exception):
    """A file is gone or shorter than it was; the answer cannot be finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of an answer: `head`, then a stretch of a file."""

    head: bytes = b""
    path: Path | None = None
    offset: int = 0
    size: int = 0

    @property
    def nbytes(self) -> int:
        """All of it."""
        return len(self.head) + self.size


def stretch(place: Place, start: int, end: int) -> Part:
    """Bytes `[start, end)` of a chunk."""
    return Part(path=place.path, offset=place.offset + start, size=end - start)


def framed(places: Iterable[Place | None]) -> list[Part]:
    """The chunks of a batch, each after its length."""
    return [
        Part(head=NOT_HERE)
        if place is None
        else Part(
            head=place.size.to_bytes(LENGTH_BYTES, "big"),
            path=place.path,
            offset=place.offset,
            size=place.size,
        )
        for place in places
    ]


def blocks(
    parts: Iterable[Part], most_bytes: Callable[[], int] = lambda: limits.SHARE_BLOCK_BYTES
) -> Iterator[list[Part]]:
    """Cut and join parts into blocks, in order; a longer head is a block of its own.

    `most_bytes` is asked for the size of each block anew: the rate may change in the middle of an answer.

    A long stretch begins a block, so that its bytes are not copied once more to be joined with others.
    """
    block: list[Part] = []
    room = most_bytes()
    for part in parts:
        rest = part
        if part.size >= _LONG_BYTES and (part.head or block):
            yield [*block, Part(head=part.head)]
            block, room = [], most_bytes()
            rest = Part(path=part.path, offset=part.offset, size=part.size)
        while rest.nbytes > room:
            if len(rest.head) <= room or not block:
                taken = max(0, min(rest.size, room - len(rest.head)))
                block.append(Part(head=rest.head, path=rest.path, offset=rest.offset, size=taken))
                rest = Part(path=rest.path, offset=rest.offset + taken, size=rest.size - taken)
            yield block
            block, room = [], most_bytes()
        block.append(rest)
        room -= rest.nbytes
    if block:
        yield block


def read(block: Iterable[Part]) -> bytes:
    """Read one block. Blocks on the disk. Raises `Vanished`."""
    pieces = []
    for part in block:
        if part.head:
            pieces.append(part.head)
        if part.path is not None and part.size:
            pieces.append(_read(part.path, part.offset, part.size))
    # Of one piece, joining makes no copy.
    return b"".join(pieces)


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        # O_NONBLOCK: a named pipe in a file's place must not hang a worker.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Vanished(f"{path} is not a plain file")
            data = os.pread(file, size, offset)
            if len(data) < size:
                raise Vanished(f"{path} is shorter than it was")
            return data
        finally:
            os.close(file)
    except OSError as error:
        raise Vanished(f"{path} cannot be read ({error.strerror})") from error
