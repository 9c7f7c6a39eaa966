"""How far a long step is and how long it will still take, once it has taken long enough to be told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from node.status import StatusLine

QUIET_S: Final = 2.0
"""What is done sooner is not worth a line."""
_BETWEEN_S: Final = 0.2


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


def duration(seconds: float) -> str:
    """A time for people: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
