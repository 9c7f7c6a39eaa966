"""How often, and after how long, to ask again somebody who did not answer well.

Waits double, and vary by chance so that many who were turned away at once do not all come back at once. A wait that the
other side asks for counts when it is longer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from node.store.source import SourceFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """A rule for waiting."""

    attempts: int = 6
    """How often to ask in all; with the waits below, for about half a minute."""
    first_s: float = 1.0
    most_s: float = 30.0
    jitter: Callable[[], float] = random.random
    """Evenly from 0 to 1."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wait_s(self, failures: int, asked_s: float) -> float:
        """Return how long to wait after so many failures in a row, at least as long as was asked for."""
        doubled = self.first_s * 2.0 ** min(failures - 1, 30)
        return max(asked_s, min(self.most_s, doubled) * (0.5 + self.jitter() / 2))


async def patiently(work: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Do `work` until it succeeds.

    Raises:
        SourceFailed: the last failure, when it is not worth another attempt or there were enough.
    """
    failures = 0
    while True:
        try:
            return await work()
        except SourceFailed as error:
            failures += 1
            if error.retry_after_s is None or failures >= patience.attempts:
                raise
            wait_s = patience.wait_s(failures, error.retry_after_s)
        await patience.sleep(wait_s)
