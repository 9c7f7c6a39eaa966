"""Waiting for a condition, with a deadline; tests wait for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Return when `condition()` is true; raise `TimeoutError` when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
