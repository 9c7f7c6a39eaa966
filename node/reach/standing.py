"""Where this process stands: which of its ports are proven, asked of the peers it has links with anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.reach.dial_back import KEPT_S, Proven
from node.reach.observed import network_of
from node.reach.proving import Line, Prover
from wire.messages.reach import Transport
from wire.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often peers are asked."""

    look_s: float = 5.0
    """How soon a new link or port is noticed."""
    again_s: float = 300.0
    """Between two questions to one network about a port that is not proven."""
    renew_s: float = KEPT_S / 4
    """The same for one that is."""


class Standing:
    """Asks, counts, and tells when what is proven changes."""

    def __init__(
        self,
        prover: Prover,
        *,
        lines: Callable[[], Sequence[Line]],
        ports: Callable[[], Sequence[tuple[Transport, int]]],
        on_change: Callable[[Transport, tuple[Address, ...]], None] = lambda _transport, _addresses: None,
        needed: int = 2,
        pace: Pace = Pace(),
    ) -> None:
        """Say whom to ask about what.

        Args:
            prover: asks.
            lines: the links of this moment.
            ports: what others should reach, as it is called outside: the ports that are listened on, and those that a
                router maps to them.
            on_change: told all proven addresses of a transport whenever they change.
            needed: networks that must have come through before an address is proven.
            pace: how often.
        """
        self._prover = prover
        self._lines = lines
        self._ports = ports
        self._on_change = on_change
        self._pace = pace
        self._proven = Proven(needed=needed)
        self._asked: dict[tuple[Transport, int, str], float] = {}
        self._told: dict[Transport, tuple[Address, ...]] = {}
        self.was_tried = False
        """Whether any peer has tried yet; until then nobody knows."""

    def addresses(self, transport: Transport) -> tuple[Address, ...]:
        """The addresses that lead here, by the word of enough networks and our own sight."""
        return tuple(self._proven.addresses(transport, asyncio.get_running_loop().time()))

    @property
    def needs_relay(self) -> bool:
        """Whether peers have tried and none of our TCP addresses is proven."""
        return self.was_tried and not self.addresses(Transport.TCP)

    def forget(self) -> None:
        """This machine is on another network: nothing that was proven counts any more."""
        self._proven.forget()
        self._asked.clear()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for transport, port in self._ports():
                await self._ask(transport, port)
            for transport in Transport:
                addresses = self.addresses(transport)
                if addresses != self._told.get(transport, ()):
                    self._told[transport] = addresses
                    self._on_change(transport, addresses)
            await asyncio.sleep(self._pace.look_s)

    async def _ask(self, transport: Transport, port: int) -> None:
        """Ask one peer of each network that is due."""
        now = asyncio.get_running_loop().time()
        is_proven = any(one.port == port for one in self.addresses(transport))
        wait_s = self._pace.renew_s if is_proven else self._pace.again_s
        for line in self._lines():
            network, peer = (
                (transport, port, network_of(line.remote.ip)),
                (transport, port, str(line.peer_id)),
            )
            if line.via is not None or any(
                now < self._asked.get(key, float("-inf")) + wait_s for key in (network, peer)
            ):
                continue
            self._asked = {one: at for one, at in self._asked.items() if now < at + KEPT_S}
            self._asked[peer] = now
            verdict = await self._prover.ask(line, transport, port)
            if verdict is None or verdict.refused:
                # Somebody else of that network may be willing.
                continue
            self._asked[network] = now
            self.was_tried = True
            self._proven.take(verdict, now)
