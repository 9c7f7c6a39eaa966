"""A cap on how many bytes a second are taken in, over everything that shares it.

It holds up the reader; the sender notices by TCP's own flow control.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

_BURST_S: Final = 0.1
"""What was not used in so long may be used at once: reads come in lumps."""


class Throttle:
    """Lets bytes through at a rate, or all at once."""

    def __init__(
        self,
        bytes_per_s: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Let `bytes_per_s` through; None for no cap."""
        self._rate = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock() - _BURST_S

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may have come. Whoever is cancelled here has still used them."""
        if self._rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now - _BURST_S) + size / self._rate
        if self._free_at > now:
            await self._sleep(self._free_at - now)
