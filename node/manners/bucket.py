"""An allowance that refills with time, up to a bound. It is told the time, and it may go into debt.

What was taken too much is paid back before anything else passes, so no single amount is too large and the rate holds.
"""

from __future__ import annotations


class Bucket:
    """So many units a second, saved up to a burst."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Begin full. `rate` is in units a second, `burst` in units; both more than nothing."""
        if not (rate > 0 and burst > 0):
            raise ValueError("a rate and a burst are more than nothing")
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = now

    def level(self, now: float) -> float:
        """What may be taken now; negative in debt. A clock that goes back adds nothing and takes nothing."""
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def spend(self, amount: float, now: float) -> None:
        """Take so much off, into debt if need be."""
        self._level = self.level(now) - amount

    def wait_s(self, wanted: float, now: float) -> float:
        """Seconds until the level is `wanted`, or the burst if that is less; 0 when it is there."""
        return max(0.0, (min(wanted, self.burst) - self.level(now)) / self.rate)

    def scaled(self, rate: float, burst: float, now: float) -> Bucket:
        """Return a bucket of other terms, as full in proportion, or as deep in debt."""
        level = self.level(now)
        other = Bucket(rate, burst, now)
        other._level = level * burst / self.burst if level > 0 else level
        return other
