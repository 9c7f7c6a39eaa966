"""What slices are doing, told to whoever watches: always the latest of each, so that a slow watcher holds nothing up.

A watcher that reads slowly misses moments in between and never the last one, and what waits for it is one status a
slice. Rejected: queues of all that happened, which are either without bound or lose the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from node.lifecycle.errors import TooMany
from node.lifecycle.happenings import LoadFailure, Pauser
from node.lifecycle.table import AT_REST, State
from node.lifecycle.wishes import SliceKey, Wish

MAX_WATCHERS: Final = 64
"""Security limit: of all clients of the control socket together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStatus:
    """One slice at one moment."""

    wish: Wish
    state: State
    paused_by: frozenset[Pauser] = frozenset()
    chosen: bool = False
    """Whether the host chose it by itself."""
    fraction: float | None = None
    """How much of it is loaded, from 0 to 1, while it is loading."""
    failure: LoadFailure | None = None
    sessions: int = 0
    grace_left_s: float | None = None
    """How long its sessions may go on, while it finishes."""
    until: float | None = None
    """Unix time by which its sessions were to end, as it was when a person asked."""
    cut_off: int = 0
    """Answers that were cut off since the process began."""

    @property
    def word(self) -> str:
        """What it does, in a word for people."""
        return "paused" if self.state is State.SERVING and self.paused_by else self.state.value

    @property
    def at_rest(self) -> bool:
        """Whether it stays so until something is asked of it."""
        return self.state in AT_REST


class Watcher:
    """One who watches one slice, or all."""

    def __init__(self, key: SliceKey | None) -> None:
        self._key = key
        self._news: dict[SliceKey, SliceStatus] = {}
        self._some = asyncio.Event()

    def tell(self, status: SliceStatus) -> None:
        """Take the latest of a slice; what was not read of it is dropped."""
        if self._key in (None, status.wish.key):
            self._news.pop(status.wish.key, None)
            self._news[status.wish.key] = status
            self._some.set()

    async def next(self) -> SliceStatus:
        """Wait for news, for as long as the caller lets it; the slice that has waited longest comes first."""
        await self._some.wait()
        status = self._news.pop(next(iter(self._news)))
        if not self._news:
            self._some.clear()
        return status


class Watchers:
    """All who watch."""

    def __init__(self) -> None:
        self._all: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, key: SliceKey | None) -> Watcher:
        """Begin to watch one slice, or all. Raises `TooMany`."""
        if len(self._all) >= MAX_WATCHERS:
            raise TooMany(f"{MAX_WATCHERS} clients watch already", "stop one of them")
        watcher = Watcher(key)
        self._all.add(watcher)
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """Stop watching."""
        self._all.discard(watcher)

    def tell(self, status: SliceStatus) -> None:
        """Tell everybody whom it concerns."""
        for watcher in self._all:
            watcher.tell(status)


async def until_rest(status: SliceStatus, watcher: Watcher) -> AsyncGenerator[SliceStatus, None]:
    """Tell of one slice, beginning with `status`, until it is at rest."""
    yield status
    while not status.at_rest:
        status = await watcher.next()
        yield status
