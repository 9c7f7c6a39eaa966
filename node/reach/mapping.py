"""Ports held open in the router: asked for, renewed at half their life, withdrawn at the end.

Each router (one for IPv4, one for IPv6) is asked in the first way that works, PCP, then NAT-PMP, then UPnP; the way
that worked is tried first the next time. What is held is a claim of the router: it becomes an address of ours only when
a peer has dialled back there (`dial_back`). A port that was opened without end, since the router knows no other, is
withdrawn like the others, but stays after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.reach.errors import NoAnswer, NoGateway, ReachError
from node.reach.gateway import Gateway, gateways
from node.reach.methods import Method, methods_for
from node.reach.ports import LIFETIME_S, Mapped, Wanted
from wire.messages.reach import Transport

log = logging.getLogger(__name__)

WITHDRAW_S: Final = 3.0
"""How long the end of a program may take for this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the router is asked."""

    lifetime_s: int = LIFETIME_S
    renew_least_s: float = 30.0
    """Not sooner than this, however short a lifetime the router grants."""
    renew_most_s: float = 1_800.0
    """A mapping without end is made again as often: a router forgets it when it restarts."""
    retry_first_s: float = 30.0
    """After a failure; then twice as long each time."""
    retry_most_s: float = 900.0
    look_s: float = 30.0
    """How soon another network is noticed, such as an address that changed."""


@dataclass(slots=True)
class _Router:
    """What is held at one router."""

    methods: list[Method]
    """In the order to try them."""
    held: list[Mapped] = field(default_factory=list)
    lapses_at: float = 0.0
    failures: int = 0


class PortMapper:
    """The mappings of one process. `run` does all of it; cancel it to withdraw them."""

    def __init__(
        self,
        ports: Sequence[tuple[Transport, int]],
        *,
        on_change: Callable[[tuple[Mapped, ...]], None] = lambda _: None,
        find: Callable[[], Sequence[Gateway]] = gateways,
        methods: Callable[[Gateway], list[Method]] = methods_for,
        pace: Pace = Pace(),
    ) -> None:
        """Say what to hold open.

        Args:
            ports: of this machine; outside, all are asked for under the number the first of them got.
            on_change: told all that is held whenever an external address or port is new or gone.
            find: the routers of this moment.
            methods: the ways to ask one.
            pace: how often.
        """
        self._ports = tuple(ports)
        self._on_change = on_change
        self._find = find
        self._methods = methods
        self._pace = pace
        self._routers: dict[Gateway, _Router] = {}
        self._told: frozenset[object] = frozenset()
        self._hurry = asyncio.Event()
        self.problem: ReachError | None = NoGateway()
        """Why a router lets nobody through, in one sentence; None when all of them do."""

    @property
    def mapped(self) -> tuple[Mapped, ...]:
        """What the routers say they let through now."""
        return tuple(one for router in self._routers.values() for one in router.held)

    def hurry(self) -> None:
        """Ask again now: the network has changed, or a peer could not come through."""
        self._hurry.set()

    async def run(self) -> None:
        """Hold the ports open until cancelled; then withdraw them."""
        try:
            while True:
                self._hurry.clear()
                await self._pause(await self._round())
        finally:
            await self._withdraw()

    async def _pause(self, wait_s: float) -> None:
        """Wait so long, or until there is a reason not to: somebody asks, or this machine is on another network."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while (left_s := until - loop.time()) > 0 and set(self._find()) == set(self._routers):
            try:
                async with asyncio.timeout(min(left_s, self._pace.look_s)):
                    await self._hurry.wait()
                    return
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Make or renew everything; return in how many seconds to do so again."""
        found = self._find()
        for gone in [one for one in self._routers if one not in found]:
            # It cannot be asked any more, at least not under our old address.
            del self._routers[gone]
        self.problem = None if found else NoGateway()
        waits: list[float] = []
        for gateway in found:
            router = self._routers.setdefault(gateway, _Router(self._methods(gateway)))
            waits.append(await self._renew(router))
        self._tell()
        return min(waits, default=self._pace.retry_most_s)

    async def _renew(self, router: _Router) -> float:
        now = asyncio.get_running_loop().time()
        problem: ReachError | None = None
        for method in list(router.methods):
            try:
                held = await self._all(method, router)
            except ReachError as error:
                log.debug("%s", error)
                problem = _better(problem, error)
                continue
            router.methods.remove(method)
            router.methods.insert(0, method)
            router.held, router.failures = held, 0
            lives = [one.lifetime_s for one in held if one.lifetime_s]
            half = min(lives) / 2 if lives else self._pace.renew_most_s
            return min(max(half, self._pace.renew_least_s), self._pace.renew_most_s)
        self.problem = self.problem or problem
        if now >= router.lapses_at:
            router.held = []
        router.failures += 1
        return min(
            self._pace.retry_first_s * float(1 << min(router.failures - 1, 16)), self._pace.retry_most_s
        )

    async def _all(self, method: Method, router: _Router) -> list[Mapped]:
        """All ports by one method, or none. Raises `ReachError`."""
        held: list[Mapped] = []
        before = {(one.transport, one.internal_port): one.external.port for one in router.held}
        try:
            for transport, port in self._ports:
                outside = before.get((transport, port), held[0].external.port if held else port)
                held.append(
                    await method.map(
                        Wanted(
                            transport=transport,
                            internal_port=port,
                            external_port=outside,
                            lifetime_s=self._pace.lifetime_s,
                        )
                    )
                )
        finally:
            # Whatever stops this half way: what was made must be known, or it could not be withdrawn.
            known = {(one.transport, one.internal_port) for one in held}
            kept = [one for one in router.held if (one.transport, one.internal_port) not in known]
            router.held = held + kept
            if held:
                life_s = min(one.lifetime_s or float("inf") for one in held)
                router.lapses_at = asyncio.get_running_loop().time() + life_s
        return held

    async def _withdraw(self) -> None:
        """Give everything back, as far as the routers answer."""
        try:
            async with asyncio.timeout(WITHDRAW_S):
                for router in self._routers.values():
                    await self._give_back(router)
        except TimeoutError:
            log.info("the router did not take all its mappings back; they lapse by themselves")
        self._routers.clear()
        self._tell()

    async def _give_back(self, router: _Router) -> None:
        for one in router.held:
            method = next(each for each in router.methods if each.name == one.method)
            try:
                await method.unmap(one)
            except ReachError as error:
                log.info("%s could not be withdrawn: %s", one.external, error)

    def _tell(self) -> None:
        now = frozenset((one.transport, one.internal_port, one.external) for one in self.mapped)
        if now != self._told:
            self._told = now
            self._on_change(self.mapped)


def _better(first: ReachError | None, second: ReachError) -> ReachError:
    """Of two problems the one that tells more: a refusal says more than silence."""
    return second if first is None or isinstance(first, NoAnswer) else first
