"""How fast bytes come while they are waited for; it is told the time."""

from __future__ import annotations

import math
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
