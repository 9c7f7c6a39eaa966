"""A client that is killed in the midst of what it does, again and again, each time in a process of its own."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from scripts.bench.forked import Forked
from scripts.bench.visitors import Visits, visit

_EARLY: Final = 0.25
"""How many are killed while they start."""
_LIVES_S: Final = (0.0, 3.0)
"""How long the others go on once they have come, or those live at all."""
_COMES_S: Final = 30.0
"""How long one may take to come."""
_SILENT_S: Final = 9.0
"""How long it is stopped before it is killed, when it is: peers give it up by themselves after six seconds."""
_POLL_S: Final = 0.1


class Vanishing:
    """One client that never says goodbye."""

    def __init__(self, visits: Visits, hear: Callable[[str, Any], None]) -> None:
        """`hear` is told what it tells, and `killed` and `silenced`."""
        self.process: Forked | None = None
        """The one that runs now."""
        self._visits = visits
        self._hear = hear
        self._lives = 0

    async def run(self, rolled: random.Random, ends_at: float) -> None:
        """Live and be killed until `ends_at`."""
        while time.monotonic() < ends_at:
            self._lives += 1
            seed = self._visits.seed * 100_000 + self._lives
            self.process = Forked(visit, replace(self._visits, seed=seed))
            if rolled.random() >= _EARLY:
                await self._live(self.process, min(ends_at, time.monotonic() + _COMES_S), come=True)
            await self._live(self.process, min(ends_at, time.monotonic() + rolled.uniform(*_LIVES_S)))
            if self._lives % 2 and time.monotonic() + _SILENT_S < ends_at:
                os.kill(self.process.pid, signal.SIGSTOP)
                self._hear("silenced", None)
                await asyncio.sleep(_SILENT_S)
            await asyncio.to_thread(self.process.end)
            self._hear("killed", None)

    async def _live(self, process: Forked, until: float, *, come: bool = False) -> None:
        """Let it go on for a while; or, with `come`, until it has reached the hosts."""
        while time.monotonic() < until and process.process.is_alive():
            await asyncio.sleep(_POLL_S)
            heard = process.heard()
            for word, detail in heard:
                self._hear(word, detail)
            if come and any(word == "came" for word, _ in heard):
                return
