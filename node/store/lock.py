"""One writer at a time in a folder, among threads and processes; the kernel lets go of it when its holder dies.

`flock(2)` and not a file that exists or not: what a killed process leaves behind must stop nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.store.errors import StoreBusy, unusable

WAIT_S: Final = 60.0
"""How long another process may hold the lock; it holds it while it writes a chunk or removes some."""
_POLL_S: Final = 0.005


class FolderLock:
    """The lock of one folder."""

    def __init__(self, path: Path, *, wait_s: float = WAIT_S) -> None:
        """`path` is the lock's file; it is made when it is first taken."""
        self._path = path
        self._wait_s = wait_s
        self._thread = threading.RLock()
        self._depth = 0
        self._file = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; the thread that holds it may take it again.

        Raises:
            StoreBusy: another process has held it for `wait_s` seconds.
            StoreUnusable: the file cannot be made.
        """
        with self._thread:
            if self._depth == 0:
                self._file = self._take()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._file)

    def _take(self) -> int:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise unusable(self._path, error) from error
        patience = time.monotonic() + self._wait_s
        while not try_lock(file):
            if time.monotonic() > patience:
                os.close(file)
                raise StoreBusy(
                    f"another process has held {self._path} for {self._wait_s:g} s",
                    "look for a process that hangs, with `fuser` on that file",
                )
            time.sleep(_POLL_S)
        return file


def try_lock(file: int) -> bool:
    """Lock an open file if nobody else has; the lock lasts until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR):
            return False
        raise
    return True
