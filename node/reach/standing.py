"""Where this process stands: which of its ports are proven, asked of the peers it has links with anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from node.reach.dial_back import KEPT_S, Proven
from node.reach.observed import network_of
from node.reach.proving import Line, Prover
from wire import limits
from wire.messages.reach import Transport
from wire.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often peers are asked."""

    look_s: float = 5.0
    """How soon a new link or port is noticed."""
    again_s: float = 300.0
    """Between two questions to one network about a port where it did not come through."""
    renew_s: float = KEPT_S / 4
    """The same where it came through."""
    refused_s: float = limits.DIAL_BACK_INTERVAL_S + 1.0
    """Before a peer that refused is asked again."""


class Standing:
    """Asks, counts, and tells when what is proven changes."""

    def __init__(
        self,
        prover: Prover,
        *,
        lines: Callable[[], Sequence[Line]],
        ports: Callable[[], Sequence[tuple[Transport, int]]],
        on_change: Callable[[Transport, tuple[Address, ...]], None] = lambda _transport, _addresses: None,
        proven: Proven | None = None,
        pace: Pace = Pace(),
    ) -> None:
        """Say whom to ask about what.

        Args:
            prover: asks.
            lines: the links of this moment to peers that can be asked.
            ports: what others should reach, as it is called outside: the ports that are listened on, and those that a
                router maps to them.
            on_change: told all proven addresses of a transport whenever they change.
            proven: counts the verdicts.
            pace: how often.
        """
        self._prover = prover
        self._lines = lines
        self._ports = ports
        self._on_change = on_change
        self._pace = pace
        self._proven = proven or Proven()
        self._due: dict[tuple[Transport, int, str], float] = {}
        """When a network, or a peer, may be asked about a port again."""
        self._told: dict[Transport, tuple[Address, ...]] = {}
        self._hurry = asyncio.Event()
        self.was_tried = False
        """Whether any peer has tried yet; until then nobody knows."""

    def addresses(self, transport: Transport) -> tuple[Address, ...]:
        """The addresses that lead here, by the word of enough networks and our own sight."""
        return tuple(self._proven.addresses(transport, asyncio.get_running_loop().time()))

    @property
    def needs_relay(self) -> bool:
        """Whether peers have tried and none of our TCP addresses is proven."""
        return self.was_tried and not self.addresses(Transport.TCP)

    def hurry(self) -> None:
        """Look at once: there is a new link, or a new port."""
        self._hurry.set()

    def forget(self) -> None:
        """This machine is on another network: nothing that was proven counts any more."""
        self._proven.forget()
        self._due.clear()
        self.was_tried = False
        self.hurry()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            self._hurry.clear()
            for transport, port in self._ports():
                await self._ask(transport, port)
            self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.look_s):
                    await self._hurry.wait()

    async def _ask(self, transport: Transport, port: int) -> None:
        """Ask one peer of each network that is due."""
        now = asyncio.get_running_loop().time()
        self._due = {key: at for key, at in self._due.items() if now < at}
        for line in self._lines():
            network = transport, port, network_of(line.remote.ip)
            peer = transport, port, str(line.peer_id)
            if line.via is not None or network in self._due or peer in self._due:
                continue
            verdict = await self._prover.ask(line, transport, port)
            if verdict is None or verdict.refused:
                # Somebody else of that network may be willing.
                self._due[peer] = now + self._pace.refused_s
                continue
            wait_s = self._pace.renew_s if verdict.proven else self._pace.again_s
            self._due[network] = self._due[peer] = now + wait_s
            self.was_tried = True
            self._proven.take(verdict, now)
            self._tell()

    def _tell(self) -> None:
        for transport in Transport:
            addresses = self.addresses(transport)
            if addresses != self._told.get(transport, ()):
                self._told[transport] = addresses
                self._on_change(transport, addresses)
