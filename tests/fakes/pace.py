"""Limits that are moved by hand, and remember what passed."""

from __future__ import annotations

import asyncio


class HandLimit:
    """Lets everything through while it is open."""

    def __init__(self, rate_bytes_per_s: float | None = 100_000.0) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self.quantum_bytes = 8 * 1024
        self.window_bytes = 64 * 1024
        self.opened = asyncio.Event()
        self.opened.set()
        self.taken: list[int] = []
        self.spent: list[int] = []

    async def take(self, nbytes: int) -> None:
        await self.opened.wait()
        self.taken.append(nbytes)

    def spend(self, nbytes: int) -> None:
        self.spent.append(nbytes)


class HandPace:
    """Both directions."""

    def __init__(self, rate_bytes_per_s: float | None = 100_000.0) -> None:
        self.upload = HandLimit(rate_bytes_per_s)
        self.download = HandLimit(rate_bytes_per_s)
