"""Reservations at a few relays, for as long as nobody can dial us: renewed at half their life, replaced when lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.errors import NodeError
from node.relay.client import RelayClient, Reservation
from wire.types import Address, Relayed

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Reservations at once: one may be lost without our being lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often relays are asked."""

    look_s: float = 5.0
    """How soon a lost reservation is noticed."""
    least_s: float = 60.0
    """Between two requests at one relay that refused or failed."""


@dataclass(slots=True)
class _Held:
    reservation: Reservation
    renew_at: float


class Keeper:
    """Holds reservations while `wanted()`; `run` does all of it."""

    def __init__(
        self,
        client: RelayClient,
        *,
        relays: Callable[[], Sequence[tuple[PeerId, Address]]],
        wanted: Callable[[], bool],
        on_change: Callable[[tuple[Relayed, ...]], None] = lambda _: None,
        pace: Pace = Pace(),
    ) -> None:
        """Say where to ask.

        Args:
            client: makes the reservations.
            relays: peers that may carry links, best first.
            wanted: whether we need to be carried; False lets the reservations lapse.
            on_change: told where others reach us whenever that changes.
            pace: how often to ask.
        """
        self._client = client
        self._relays = relays
        self._wanted = wanted
        self._on_change = on_change
        self._pace = pace
        self._held: dict[PeerId, _Held] = {}
        self._resting: dict[PeerId, float] = {}
        self._told: tuple[Relayed, ...] = ()

    @property
    def addresses(self) -> tuple[Relayed, ...]:
        """Where others reach us by relays."""
        return tuple(one.reservation.where for one in self._held.values())

    async def run(self) -> None:
        """Hold reservations until cancelled."""
        while True:
            await self._round()
            if self.addresses != self._told:
                self._told = self.addresses
                self._on_change(self._told)
            await asyncio.sleep(self._pace.look_s)

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._wanted():
            self._held.clear()
            return
        for peer, held in list(self._held.items()):
            if not self._client.is_reserved(held.reservation.line):
                del self._held[peer]
            elif now >= held.renew_at:
                where = held.reservation.where
                del self._held[peer]
                await self._ask(where.relay, where.address, now)
        for relay, address in self._relays():
            if len(self._held) >= KEPT:
                return
            if relay not in self._held and now >= self._resting.get(relay, 0.0):
                await self._ask(relay, address, now)

    async def _ask(self, relay: PeerId, address: Address, now: float) -> None:
        try:
            reservation = await self._client.reserve(relay, address)
        except NodeError as error:
            log.info("%s does not carry links to us: %s", relay.short, error)
            self._resting = {peer: at for peer, at in self._resting.items() if at > now}
            self._resting[relay] = now + self._pace.least_s
            return
        self._held[relay] = _Held(reservation, now + reservation.terms.lifetime_s / 2)
