"""When a place is likely to be free: the time to try again that a full host tells those it refuses. Pure.

Places free one after the other, so those who are refused at the same time are told different times, one place apart;
told the same time, they would all come back at once and all but one be refused again. A place frees every
`lifetime / sessions` seconds, by what sessions lasted lately and by how long those that are open last already. Nobody
is told to come back before a step or two could be over, or later than a minute: nobody knows what is then.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final

LEAST_HINT_MS: Final = 250
MOST_HINT_MS: Final = 60_000
DEFAULT_LIFETIME_S: Final = 30.0
"""What a session is taken to last while none has ended: an answer of a few hundred tokens."""
_REMEMBERED: Final = 64
"""Sessions and steps that an estimate is made from."""
_MOST_PROMISED: Final = 1024
"""Refused askers whose time has not come; more than that are all told the longest time."""
_STEPS_APART: Final = 2
"""Steps that are computed at least before a place frees."""


class Forecast:
    """Estimates when a session's place frees. All times are seconds of one clock that nobody sets."""

    def __init__(self) -> None:
        self._lifetimes_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._steps_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._promised: deque[float] = deque(maxlen=_MOST_PROMISED)

    def ended(self, lifetime_s: float) -> None:
        """A session is over, that had been open for so long."""
        if math.isfinite(lifetime_s) and lifetime_s >= 0:
            self._lifetimes_s.append(lifetime_s)

    def stepped(self, step_s: float) -> None:
        """A step took so long, from its arrival to its answer."""
        if math.isfinite(step_s) and step_s >= 0:
            self._steps_s.append(step_s)

    def hint_ms(self, *, sessions: int, oldest_s: float, now: float) -> int:
        """Return when to try again, in milliseconds, and count the asker as one who will.

        Args:
            sessions: how many are open.
            oldest_s: how long the oldest of them has been.
        """
        # Those who were told a time that has passed are back, or gone.
        while self._promised and self._promised[0] <= now:
            self._promised.popleft()
        apart_s = max(self._apart_s(max(1, sessions), oldest_s), LEAST_HINT_MS / 1000 / 8)
        last = self._promised[-1] if self._promised else now
        at = min(max(last + apart_s, now + LEAST_HINT_MS / 1000), now + MOST_HINT_MS / 1000)
        self._promised.append(at)
        return min(MOST_HINT_MS, max(LEAST_HINT_MS, math.ceil((at - now) * 1000)))

    def _apart_s(self, sessions: int, oldest_s: float) -> float:
        """Seconds from one place that frees to the next."""
        lifetime_s = statistics.fmean(self._lifetimes_s) if self._lifetimes_s else DEFAULT_LIFETIME_S
        step_s = statistics.median(self._steps_s) if self._steps_s else 0.0
        # Sessions that are older than any that ended say that those which ended were the short ones.
        return max(lifetime_s, oldest_s / 2, step_s * _STEPS_APART) / sessions
