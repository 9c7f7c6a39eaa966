"""How far a long step is and how long it will still take, once it has taken long enough to be told; and its end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from node.errors import NodeError
from node.status import StatusLine

QUIET_S: Final = 2.0
"""What is done sooner is not worth a line."""
_BETWEEN_S: Final = 0.2

T = TypeVar("T")


class Stopped(NodeError):
    """A long step was given up before its end."""


class Progress:
    """Tells a `StatusLine` of one step; call it with the part done, from 0 to 1."""

    def __init__(self, status: StatusLine, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._status = status
        self._what = what
        self._clock = clock
        self._began = clock()
        self._told = 0.0

    def __call__(self, fraction: float) -> None:
        """Say how far it is, now and then."""
        elapsed = self._clock() - self._began
        if elapsed < QUIET_S or elapsed - self._told < _BETWEEN_S or not 0 < fraction <= 1:
            return
        self._told = elapsed
        left = elapsed * (1 - fraction) / fraction
        self._status.progress(f"{self._what}, {duration(left)} left", fraction)


async def stoppable(
    work: Callable[[Callable[[float], None]], T], told: Callable[[float], None] | None = None
) -> T:
    """Do something long on a thread; when this is cancelled, it ends there as well, where it tells its progress.

    Without that a program that was told to stop would wait until all of a checkpoint is read.

    Args:
        work: given what to tell its progress to.
        told: is told it in turn, on that thread.
    """
    stopped = threading.Event()

    def tell(fraction: float) -> None:
        if stopped.is_set():
            raise Stopped("a stop was asked for in the middle", "start again")
        if told is not None:
            told(fraction)

    try:
        return await asyncio.to_thread(work, tell)
    finally:
        stopped.set()


def duration(seconds: float) -> str:
    """A time for people: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
