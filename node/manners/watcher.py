"""Looks now and then whether the host may serve, and tells when that changes. The clocks and files of `decide`.

Readings are made on a thread, since firmware may take its time over a battery. One that hangs is not asked again until
it answers, and what is not known is no reason to pause. Where the owner's terms need nothing looked at, nothing is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from functools import partial
from typing import Final, NoReturn, Protocol

from node.errors import NodeError
from node.manners.busy import Load, Sample, load_between, read_sample
from node.manners.decide import Readings, Remembered, Verdict, decide
from node.manners.power import Power, read_power
from node.manners.terms import MannersTerms

log = logging.getLogger(__name__)

INTERVAL_S: Final = 5.0
"""Between two looks; each costs less than a millisecond."""
READ_TIMEOUT_S: Final = 2.0
"""What a reading may take before the look goes on without it."""


class Senses(Protocol):
    """What there is to read. Called on threads, one call of each at a time."""

    def power(self) -> Power:
        """How the machine is fed."""
        ...

    def load(self) -> Load | None:
        """What others wanted since the last call; None when nobody can say."""
        ...


class LinuxSenses:
    """Reads what Linux says."""

    def __init__(
        self,
        *,
        power: Callable[[], Power] = read_power,
        sample: Callable[[float], Sample | None] = read_sample,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.power = power
        self._sample = sample
        self._clock = clock
        self._before: Sample | None = None

    def load(self) -> Load | None:
        """What others wanted since the last call."""
        before, after = self._before, self._sample(self._clock())
        self._before = after
        return None if before is None or after is None else load_between(before, after)


class Watcher:
    """Keeps the verdict on one host. `run` does the looking."""

    def __init__(
        self,
        terms: MannersTerms,
        tell: Callable[[Verdict], Awaitable[None]],
        *,
        senses: Senses | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        zone: tzinfo | None = None,
    ) -> None:
        """Watch for `tell`, which is told when the host is to pause, and when it may serve again.

        Args:
            tell: what raises a `NodeError` is told again at the next look.
            clock: seconds, of a clock that nobody sets.
            wall: Unix time.
            zone: whose hours count; this machine's when None.
        """
        self.verdict = Verdict()
        """The latest one; its reason may change while it pauses."""
        self.interval_s = INTERVAL_S
        self._terms = terms
        self._tell = tell
        self._senses = senses or LinuxSenses()
        self._clock, self._wall, self._zone = clock, wall, zone
        self._remembered = Remembered()
        self._told = False
        self._changed = asyncio.Event()
        self._reading: dict[str, asyncio.Future[Power | Load | None]] = {}

    def change(self, terms: MannersTerms) -> None:
        """Go by other terms from now on."""
        if terms != self._terms:
            self._terms = terms
            self._remembered = Remembered()
            self._changed.set()

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            self._changed.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()

    async def look(self) -> Verdict:
        """Look once, and tell what has changed since it was last told."""
        terms = self._terms
        power, load = await asyncio.gather(
            self._read("power", self._senses.power if terms.pause_on_battery else None),
            self._read("load", self._senses.load if terms.busy_above is not None else None),
        )
        readings = Readings(
            now=self._wall(),
            at_s=self._clock(),
            power=power if isinstance(power, Power) else None,
            load=load if isinstance(load, Load) else None,
        )
        if terms is self._terms:
            self.verdict, self._remembered = decide(terms, readings, self._remembered, zone=self._zone)
            await self._say()
        return self.verdict

    async def _say(self) -> None:
        verdict = self.verdict
        if verdict.pause == self._told:
            return
        try:
            await self._tell(verdict)
        except NodeError as error:
            log.warning("%s could not be done: %s", verdict.reason or "serving again", error)
            return
        self._told = verdict.pause
        log.info("%s", verdict.reason or "serving again")

    def _pause_s(self) -> float | None:
        """How long nothing needs to be looked at; None for as long as the terms stay as they are."""
        if not self._terms.watches and self.verdict.pause == self._told:
            return None
        if self.verdict.until is None:
            return self.interval_s
        # The moment at which hours begin is known; a clock that is set is noticed at the next look.
        return min(self.interval_s, max(0.05, self.verdict.until - self._wall()))

    async def _read(self, name: str, read: Callable[[], Power | Load | None] | None) -> Power | Load | None:
        """Read something on a thread; None when it is not wanted, or takes too long."""
        if read is None:
            return None
        under_way = self._reading.get(name)
        if is_new := under_way is None:
            under_way = self._reading[name] = asyncio.ensure_future(asyncio.to_thread(read))
            under_way.add_done_callback(partial(self._has_read, name))
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await asyncio.shield(under_way)
        except TimeoutError:
            if is_new:
                log.warning("reading this machine's %s takes more than %g s", name, READ_TIMEOUT_S)
            return None

    def _has_read(self, name: str, reading: asyncio.Future[Power | Load | None]) -> None:
        """Forget a reading that is over, its error too if nobody waited for it any more."""
        self._reading.pop(name, None)
        if not reading.cancelled():
            reading.exception()
