"""How fast bytes go, and how fast they may: a meter, a bucket of allowance, and a queue of those who wait for it.

The meter and the bucket are told the time. A bucket may go into debt: what is larger than its burst passes as soon as
the bucket is full, and is paid back before anything else passes. So no size is too large, and the rate holds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

METER_MEMORY_S: Final = 3.0
"""What was measured this long ago weighs a third of what is measured now."""


class RateMeter:
    """Bytes a second while there was something to wait for; old measurements fade."""

    def __init__(self, memory_s: float = METER_MEMORY_S) -> None:
        self._memory_s = memory_s
        self._bytes = 0.0
        self._seconds = 0.0
        self._at = 0.0
        self._busy = False

    def busy(self, now: float, *, busy: bool) -> None:
        """Say whether bytes are being waited for from now on; idle time does not count."""
        self._advance(now)
        self._busy = busy

    def add(self, nbytes: int, now: float) -> None:
        """Count bytes that arrived."""
        self._advance(now)
        self._bytes += nbytes

    def rate(self, now: float) -> float | None:
        """Bytes a second; None until some have arrived."""
        self._advance(now)
        if self._bytes <= 0:
            return None
        return self._bytes / max(self._seconds, 1e-6)

    def _advance(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._at = max(now, self._at)
        if self._busy and passed:
            kept = math.exp(-passed / self._memory_s)
            self._bytes *= kept
            # The integral of the fading weight over the time that passed.
            self._seconds = self._seconds * kept + self._memory_s * (1 - kept)


class TokenBucket:
    """An allowance of bytes that refills at a rate, up to a burst."""

    def __init__(self, rate_bytes_per_s: float, burst_bytes: float, now: float) -> None:
        if not (rate_bytes_per_s > 0 and burst_bytes > 0):
            raise ValueError("a rate and a burst are more than nothing")
        self._rate = rate_bytes_per_s
        self._burst = burst_bytes
        self._level = burst_bytes
        self._at = now

    def wait_s(self, nbytes: int, now: float) -> float:
        """Seconds until so many bytes may pass; 0 when they may pass now."""
        self._refill(now)
        return max(0.0, (min(nbytes, self._burst) - self._level) / self._rate)

    def spend(self, nbytes: int, now: float) -> None:
        """Take so many bytes off, into debt if need be; a negative number gives back what was not used."""
        self._refill(now)
        self._level = min(self._burst, self._level - nbytes)

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._at = max(now, self._at)
        self._level = min(self._burst, self._level + passed * self._rate)


class Throttle:
    """A bucket that many wait at, first come first served; whoever asks in small parts gets a fair share.

    Waits at most for what those before it take; a waiter that is cancelled takes nothing.
    """

    def __init__(
        self,
        rate_bytes_per_s: float,
        burst_bytes: float,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._bucket = TokenBucket(rate_bytes_per_s, burst_bytes, clock())
        # Locks of asyncio are fair: waiters get them in the order they came.
        self._turn = asyncio.Lock()

    async def take(self, nbytes: int) -> None:
        """Wait until so many bytes may pass, and take them."""
        async with self._turn:
            wait_s = self._bucket.wait_s(nbytes, self._clock())
            if wait_s > 0:
                await self._sleep(wait_s)
            self._bucket.spend(nbytes, self._clock())
