"""Hosts that answer what they serve over real links, and somebody who asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crypto.identity import Identity, PeerId
from node.asking import Asking
from node.finding import Finder, Found
from node.roads import Roads, RoadTerms
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting, Offer
from wire.types import Address, ModelId

LOCAL = Address("127.0.0.1", 0)


class Searching(Finder):
    """A finder that finds these hosts and has no socket."""

    def __init__(self, *found: tuple[PeerId, Address], joined: bool = True) -> None:
        self.found = [Found(peer, (address,)) for peer, address in found]
        self.is_joined = joined
        self.told: list[Address] = []

    def add_contacts(self, contacts: object) -> None:
        assert isinstance(contacts, Sequence)
        self.told += contacts

    async def hosts(self, model: ModelId, within_s: float = 3.0) -> list[Found]:
        return list(self.found)

    async def joined(self, within_s: float = 3.0) -> bool:
        return self.is_joined


class AskedHost:
    """A peer that says what it serves, or hangs up, or is silent."""

    def __init__(
        self, number: int, *, shares: int | None = None, offers: Sequence[Offer] = (), network: str = "main"
    ) -> None:
        self.identity = Identity.from_seed(bytes([number]) * 32)
        self.peer_id = self.identity.peer_id
        self.shares = shares
        self.offers = tuple(offers)
        self.draining = False
        self.hangs_up = False
        self.is_silent = False
        self.asked = 0
        self.heard: list[Message] = []
        self.pool = LinkPool(
            self.identity, network, "host", on_message=self._on_message, on_closed=lambda *_: None
        )

    async def listen(self) -> Address:
        return await self.pool.listen(LOCAL)

    async def close(self) -> None:
        await self.pool.close()

    def _on_message(self, link: Link, message: Message) -> None:
        self.heard.append(message)
        if not isinstance(message, Describe):
            return
        self.asked += 1
        if self.hangs_up:
            link.hang_up(Code.SHUTTING_DOWN, "not today")
        elif not self.is_silent:
            link.send(Hosting(offers=self.offers, draining=self.draining, shares=self.shares))


@dataclass
class Asked:
    """Whoever asks, over real links."""

    identity: Identity
    pool: LinkPool
    roads: Roads
    asking: Asking
    addresses: list[Address]
    """Of the hosts, in order."""


@asynccontextmanager
async def asked_by(
    number: int, *hosts: AskedHost, besides: Sequence[Contact] = (), finder: Finder | None = None
) -> AsyncIterator[Asked]:
    """Somebody whose contacts are these hosts, and others besides."""
    addresses = [await host.listen() for host in hosts]
    named = (
        *(Contact(peer=host.peer_id, address=at) for host, at in zip(hosts, addresses, strict=True)),
        *besides,
    )
    identity = Identity.from_seed(bytes([number]) * 32)
    roads = Roads(RoadTerms(network="main", named=named), own=identity.peer_id, finder=finder)
    asking = Asking(roads)

    def on_message(link: Link, message: Message) -> None:
        if not asking.on_message(link, message):
            roads.on_message(link, message)

    def on_closed(link: Link, code: Code, detail: str) -> None:
        asking.on_closed(link, code, detail)
        roads.on_closed(link)

    pool = LinkPool(identity, "main", "asking", on_message=on_message, on_closed=on_closed)
    roads.connect(pool)
    await roads.open()
    try:
        yield Asked(identity, pool, roads, asking, addresses)
    finally:
        await pool.close()
        for host in hosts:
            await host.close()
