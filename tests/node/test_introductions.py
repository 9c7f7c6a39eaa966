"""Peers tell each other of peers that want to be told of, as often as is agreed, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from crypto.identity import Identity, PeerId
from node.introductions import Introductions
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.deadline import until
from wire.codes import Code
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.peers import Introduce, KnownPeer, Peers
from wire.types import Address

LOCAL = Address("127.0.0.1", 0)


class Party:
    """A peer that takes part."""

    def __init__(self, number: int) -> None:
        self.identity = Identity.from_seed(bytes([number]) * 32)
        self.told: list[tuple[Contact, PeerId]] = []
        self.heard: list[Message] = []
        self.address = LOCAL
        self.introductions = Introductions(self.identity.peer_id, self._told)
        self.pool = LinkPool(
            self.identity, "main", "party", on_message=self._on_message, on_closed=self._on_closed
        )
        self.introductions.connect(self.pool.links)

    async def listen(self, *, listed: bool = True) -> None:
        self.address = await self.pool.listen(LOCAL)
        if listed:
            self.introductions.listens = (self.address,)

    @property
    def contact(self) -> Contact:
        return Contact(peer=self.identity.peer_id, address=self.address)

    async def meet(self, other: Party) -> Link:
        link = await self.pool.link_to(other.identity.peer_id, other.address)
        self.introductions.greet(link)
        return link

    def _told(self, contacts: Sequence[Contact], teller: PeerId) -> None:
        self.told += [(one, teller) for one in contacts]

    def _on_message(self, link: Link, message: Message) -> None:
        self.heard.append(message)
        assert self.introductions.on_message(link, message) == isinstance(message, Introduce | Peers)

    def _on_closed(self, link: Link, _code: Code, _detail: str) -> None:
        self.introductions.on_closed(link)


@asynccontextmanager
async def parties(count: int, *, unlisted: int | None = None) -> AsyncIterator[list[Party]]:
    made = [Party(number + 1) for number in range(count)]
    try:
        for number, one in enumerate(made):
            await one.listen(listed=number != unlisted)
        yield made
    finally:
        for one in made:
            await one.pool.close()


async def test_a_peer_is_told_of_those_who_said_where_they_take_links() -> None:
    async with parties(3) as [middle, first, second]:
        await first.meet(middle)
        await until(lambda: first.heard)
        assert first.told == []
        await second.meet(middle)
        await until(lambda: second.told)
        assert second.told == [(first.contact, middle.identity.peer_id)]


async def test_who_does_not_want_to_be_told_of_is_not() -> None:
    async with parties(3, unlisted=1) as [middle, first, second]:
        await first.meet(middle)
        await until(lambda: first.heard)
        await second.meet(middle)
        await until(lambda: second.heard)
        assert second.heard == [Peers(peers=(), listens=middle.address.port)]
        assert second.told == []


async def test_nobody_is_asked_or_answered_again_at_once() -> None:
    async with parties(2) as [middle, first]:
        link = await first.meet(middle)
        first.introductions.greet(link)
        await until(lambda: first.heard)
        assert len(middle.heard) == 1
        link.send(Introduce(listens=first.address.port))
        await until(lambda: len(first.heard) == 2)
        assert first.heard[1] == Peers(peers=())


async def test_what_nobody_asked_for_is_not_believed() -> None:
    async with parties(3) as [middle, first, third]:
        link = await first.meet(middle)
        await until(lambda: first.heard)
        (back,) = middle.pool.links.values()
        back.send(Peers(peers=(KnownPeer(peer=third.identity.peer_id, address=third.address),)))
        await until(lambda: len(first.heard) == 2)
        assert first.told == []
        assert link.peer_id == middle.identity.peer_id


async def test_a_port_is_told_only_where_it_is_listened_on() -> None:
    async with parties(2) as [middle, first]:
        first.introductions.listens = (Address("::", 5), Address("127.0.0.2", 6))
        await first.meet(middle)
        await until(lambda: middle.heard)
        assert middle.heard == [Introduce(listens=None)]
    async with parties(2) as [middle, first]:
        first.introductions.listens = (Address("::", 5), Address("0.0.0.0", 7))
        await first.meet(middle)
        await until(lambda: middle.heard)
        assert middle.heard == [Introduce(listens=7)]
