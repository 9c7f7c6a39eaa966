"""Tries again what could not be loaded: a hub that was away at the start of a machine is there an hour later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from node.lifecycle.errors import LifecycleError
from node.lifecycle.following import SliceStatus
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
FIRST_PAUSE_S: Final = 30.0
MOST_PAUSE_S: Final = 1800.0
"""A load that fails may have read a whole checkpoint before it does."""


@dataclass(slots=True)
class _Failing:
    """A slice that could not be loaded."""

    due: float
    pause_s: float = FIRST_PAUSE_S


class Retrying:
    """Waits twice as long after each failure of a slice."""

    def __init__(
        self,
        status: Callable[[], Iterable[SliceStatus]],
        again: Callable[[SliceKey], Awaitable[None]],
        *,
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            status: what all slices do now.
            again: has one loaded once more. Raises `LifecycleError`.
            clock: seconds, of a clock that nobody sets.
        """
        self._status = status
        self._again = again
        self._clock = clock
        self._failing: dict[SliceKey, _Failing] = {}

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> None:
        """Look once, and have tried again what is due."""
        now, states = self._clock(), {one.wish.key: one.state for one in self._status()}
        for key, state in states.items():
            if state is State.FAILED:
                await self._failed(key, now)
        # While one is loaded again it has not come to anything yet.
        over = [key for key in self._failing if states.get(key) not in (State.FAILED, State.LOADING)]
        for key in over:
            del self._failing[key]

    async def _failed(self, key: SliceKey, now: float) -> None:
        known = self._failing.setdefault(key, _Failing(due=now + FIRST_PAUSE_S))
        if now < known.due:
            return
        known.pause_s = min(MOST_PAUSE_S, 2 * known.pause_s)
        known.due = now + known.pause_s
        try:
            await self._again(key)
        except LifecycleError as error:
            log.info("%s is not tried again: %s", key, error)
        else:
            log.info("%s is tried again", key)
