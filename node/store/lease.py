"""Which chunks live processes need: each keeps a file that lists them and that it holds locked for as long as it lives.

What is listed is not removed by anybody, and its bytes count as used, whether they are here yet or not. A file that
nobody holds locked is of a process that ended without tidying up; whoever sees it removes it.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from node.store.errors import unusable
from node.store.lock import try_lock

_RECORD: Final = struct.Struct("<32sQ")
"""A digest and the size of what has it."""


class LeaseFile:
    """The list of one process. Made and changed only by a holder of the store's lock, else others might miss it."""

    def __init__(self, folder: Path) -> None:
        """Make an empty list in `folder`. Raises `StoreUnusable`."""
        self._path = folder / secrets.token_hex(16)
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(self._path, error) from error
        try_lock(self._file)

    def add(self, sizes: Mapping[bytes, int]) -> None:
        """List more chunks, by digest. Raises `StoreUnusable`, with nothing listed."""
        data = b"".join(_RECORD.pack(digest, size) for digest, size in sizes.items())
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            done = 0
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            os.ftruncate(self._file, end)
            raise unusable(self._path, error) from error

    def close(self) -> None:
        """Need nothing any more."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def listed(folder: Path) -> dict[bytes, int]:
    """All chunks that live processes need, by digest; removes the lists of dead ones. Needs the store's lock.

    Raises:
        StoreUnusable: the lists cannot be read.
    """
    found: dict[bytes, int] = {}
    try:
        for path in folder.iterdir():
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if try_lock(file):
                    path.unlink(missing_ok=True)
                else:
                    found.update(_read(file))
            finally:
                os.close(file)
    except OSError as error:
        raise unusable(folder, error) from error
    return found


def _read(file: int) -> Iterable[tuple[bytes, int]]:
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    data = b"".join(parts)
    return _RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size])
