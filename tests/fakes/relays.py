"""Pools that can be relays, hosts behind relays, and clients of both, wired as a node wires them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from crypto.identity import Identity, PeerId
from node.relay.client import RelayClient
from node.relay.service import RelayService
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.pools import LOOPBACK, Notes
from wire.codes import Code
from wire.messages.base import Message
from wire.relay import Terms
from wire.types import Address, Relayed

GENEROUS = Terms()


class Station:
    """A pool, a relay service and a relay client, joined."""

    def __init__(self, name: str, terms: Terms | None = None) -> None:
        self.identity = Identity.from_seed(name.encode().ljust(32, b"."))
        self.notes = Notes()
        self.address = LOOPBACK
        self.pool = LinkPool(
            self.identity,
            "test",
            name,
            on_message=self._message,
            on_closed=self._closed,
            is_busy=self._is_busy,
        )
        self.service = RelayService(self.identity, terms)
        self.client = RelayClient(self.peer_id, link_to=self.pool.link_to, accept=self.pool.accept_carried)
        self.pool.carry_by(self.client)
        self._running = asyncio.ensure_future(self.service.run())

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    def _message(self, link: Link, message: Message) -> None:
        if not self.service.on_message(link, message):
            self.client.on_message(link, message)
        self.notes.message(link, message)

    def _closed(self, link: Link, code: Code, detail: str) -> None:
        self.service.on_closed(link)
        self.client.on_closed(link)
        self.notes.closing(link, code, detail)

    def _is_busy(self, link: Link) -> bool:
        return self.service.is_busy(link) or self.client.is_busy(link)

    async def listen(self, address: Address = LOOPBACK) -> Address:
        """Accept links."""
        self.address = await self.pool.listen(address)
        return self.address

    async def reserve(self, relay: Station) -> Relayed:
        """Have a relay carry links to this station; return where they reach it."""
        return (await self.client.reserve(relay.peer_id, relay.address)).where

    async def close(self) -> None:
        """End everything."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        await self.pool.close()


@asynccontextmanager
async def stations(terms: Terms | None = GENEROUS) -> AsyncIterator[tuple[Station, Station, Station]]:
    """A relay, a host that has not reserved yet, and a client."""
    relay, host, client = Station("relay", terms), Station("host"), Station("client")
    try:
        await relay.listen()
        yield relay, host, client
    finally:
        for one in (client, host, relay):
            await one.close()
