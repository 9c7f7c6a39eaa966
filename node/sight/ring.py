"""The latest records of the log, for whoever asks, and new ones for whoever follows.

Records come from any thread; readers are on an event loop. A reader that is too slow loses the oldest of what waits
for it, and is told how many.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import Final

from node.sight.errors import TooManyFollowers
from node.sight.records import Record

MAX_RECORDS: Final = 10_000
"""Records kept."""
MAX_KEPT_CHARS: Final = 2 * 1024 * 1024
"""Security limit: characters of all messages kept; the oldest go."""
MAX_WAITING: Final = 1_000
"""Security limit: records that wait for one reader."""
MAX_FOLLOWERS: Final = 128
"""Security limit: readers at once; the control socket cannot have more requests under way."""


class Ring:
    """The latest records."""

    def __init__(self, *, max_records: int = MAX_RECORDS, max_chars: int = MAX_KEPT_CHARS) -> None:
        self._lock = threading.Lock()
        self._records: deque[Record] = deque()
        self._chars = 0
        self._max_records = max_records
        self._max_chars = max_chars
        self._followers: set[Following] = set()

    def add(self, record: Record) -> None:
        """Keep a record and hand it to all who follow. From any thread."""
        with self._lock:
            self._records.append(record)
            self._chars += len(record.message)
            while len(self._records) > self._max_records or (
                self._chars > self._max_chars and len(self._records) > 1
            ):
                self._chars -= len(self._records.popleft().message)
            followers = tuple(self._followers)
            for one in followers:
                one.take(record)
        for one in followers:
            one.wake()

    def past(self, lines: int, level: int = logging.NOTSET) -> list[Record]:
        """The last so many records that are at least so grave, the oldest first."""
        with self._lock:
            return self._past(lines, level)

    def follow(self, lines: int = 0, level: int = logging.NOTSET) -> Following:
        """The last so many records that are at least so grave, then every new one; from a running event loop.

        Raises:
            TooManyFollowers: there are too many readers.
        """
        following = Following(self, self._lock, level)
        with self._lock:
            if len(self._followers) >= MAX_FOLLOWERS:
                raise TooManyFollowers(
                    f"{MAX_FOLLOWERS} follow the log already", "end one of them, or ask for past records only"
                )
            self._followers.add(following)
            following.begin(self._past(lines, level))
        return following

    def leave(self, following: Following) -> None:
        """Hand it nothing more."""
        with self._lock:
            self._followers.discard(following)

    def _past(self, lines: int, level: int) -> list[Record]:
        found: list[Record] = []
        for record in reversed(self._records):
            if len(found) >= lines:
                break
            if record.number >= level:
                found.append(record)
        found.reverse()
        return found


class Following:
    """One reader's records: an asynchronous iterator, and a context manager that ends it. Never ends by itself."""

    def __init__(self, ring: Ring, lock: threading.Lock, level: int) -> None:
        self._ring = ring
        self._lock = lock
        self._level = level
        self._loop = asyncio.get_running_loop()
        self._begun: deque[Record] = deque()
        self._waiting: deque[Record] = deque()
        self._some = asyncio.Event()
        self.dropped = 0
        """Records that this reader was too slow for."""

    def begin(self, past: list[Record]) -> None:
        """Start with records of the past, which are asked for and so none of them is lost."""
        self._begun.extend(past)

    def take(self, record: Record) -> None:
        """Note a new record; from any thread, under the ring's lock."""
        if record.number >= self._level:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(record)

    def wake(self) -> None:
        """Let the reader go on; from any thread."""
        if not self._some.is_set():
            # The loop is closed: nobody reads any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._some.set)

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Record:
        if self._begun:
            return self._begun.popleft()
        while True:
            self._some.clear()
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
            await self._some.wait()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self._ring.leave(self)
