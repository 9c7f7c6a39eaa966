"""A clock that only moves when told to, and what was set for later on it."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Alarm:
    """One thing set for later."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clockwork:
    """Time, and timers that ring while it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._alarms: list[tuple[float, int, Alarm, Callable[[], None]]] = []
        self._set = 0

    def __call__(self) -> float:
        return self.now

    def later(self, wait_s: float, work: Callable[[], None]) -> Alarm:
        """Ring in so many seconds."""
        alarm = Alarm()
        self._set += 1
        heapq.heappush(self._alarms, (self.now + max(0.0, wait_s), self._set, alarm, work))
        return alarm

    @property
    def idle(self) -> bool:
        """Whether nothing is set."""
        return all(alarm.cancelled for _, _, alarm, _ in self._alarms)

    def go(self, seconds: float) -> None:
        """Move on, ringing what comes due on the way."""
        end = self.now + seconds
        while self._alarms and self._alarms[0][0] <= end:
            due, _, alarm, work = heapq.heappop(self._alarms)
            self.now = max(self.now, due)
            if not alarm.cancelled:
                work()
        self.now = end
