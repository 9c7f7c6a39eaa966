"""A pool that is carried, is told one thing, and finds a better way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from crypto.identity import Identity, PeerId
from node.errors import NodeError
from node.transport.carrier import Carrier
from node.transport.errors import DialRefused, DialUnreachable, PeerHungUp, WrongPeer
from node.transport.link import Link
from tests.fakes.joined import small
from tests.fakes.pools import LOOPBACK, Post, posts, until
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.reach import Proof
from wire.types import Address, Relayed

RELAY = Identity.from_seed(b"r" * 32).peer_id
PROOF = Proof(nonce=bytes(16))


class Socket:
    """Carries by a socket to the host itself, at another address than the one that is named."""

    def __init__(self, host: Post) -> None:
        self.host = host
        self.asked: list[tuple[PeerId, Relayed]] = []
        self.error: NodeError | None = None

    async def connect(self, protocol: asyncio.BufferedProtocol, peer_id: PeerId, where: Relayed) -> None:
        self.asked.append((peer_id, where))
        if self.error is not None:
            raise self.error
        address = self.host.address
        await asyncio.get_running_loop().create_connection(lambda: protocol, address.ip, address.port)


NOWHERE = Address("127.0.0.1", 1)
WHERE = Relayed(RELAY, NOWHERE)


async def test_a_relayed_address_is_left_to_the_carrier_and_the_link_says_so() -> None:
    async with posts("a", "b") as [a, b]:
        carrier: Carrier = (socket := Socket(b))
        a.carry_by(carrier)
        link = await a.link_to(b.peer_id, WHERE)
        assert (link.via, link.remote) == (RELAY, NOWHERE)
        assert socket.asked == [(b.peer_id, WHERE)]
        assert await a.link_to(b.peer_id, WHERE) is link
        link.send(small(1))
        await b.notes.until(lambda: b.notes.steps == [1])


async def test_the_peer_behind_a_relay_must_be_the_one_that_was_meant() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        with pytest.raises(WrongPeer):
            await a.link_to(Identity.from_seed(b"z" * 32).peer_id, WHERE)


async def test_what_the_carrier_says_is_told_in_a_diallers_words() -> None:
    async with posts("a", "b") as [a, b]:
        socket = Socket(b)
        socket.error = NodeError("the relay is full", "choose another relay")
        a.carry_by(socket)
        with pytest.raises(DialUnreachable, match="the relay is full; choose another relay"):
            await a.link_to(b.peer_id, WHERE)
        socket.error = DialRefused(NOWHERE, RELAY, "nothing listens there", "wait")
        with pytest.raises(DialRefused):
            await a.link_to(b.peer_id, WHERE)


async def test_a_relayed_address_is_no_way_to_anybody_or_to_the_relay_or_without_a_carrier() -> None:
    async with posts("a", "b") as [a, b]:
        with pytest.raises(DialUnreachable):
            await a.link_to(b.peer_id, WHERE)
        a.carry_by(Socket(b))
        for peer_id in (None, RELAY):
            with pytest.raises(DialUnreachable):
                await a.link_to(peer_id, WHERE)


async def test_a_direct_way_replaces_a_carried_link_once_it_works() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        carried = await a.link_to(b.peer_id, WHERE)
        assert not await a.upgrade(b.peer_id, NOWHERE)
        assert (await a.link_to(b.peer_id, WHERE)) is carried
        assert await a.upgrade(b.peer_id, b.address)
        direct = await a.link_to(b.peer_id, WHERE)
        assert direct.via is None
        assert carried.retired
        assert await a.upgrade(b.peer_id, b.address)
        assert await a.link_to(b.peer_id, WHERE) is direct


def hearing(name: str) -> tuple[Post, list[Message]]:
    """A listening pool and what came to it by links for one message."""
    pool, heard = Post(name), list[Message]()

    def note(link: Link, message: Message) -> None:
        heard.append(message)

    pool.on_brief = note
    return pool, heard


async def test_one_message_is_told_without_a_link_to_show_for_it() -> None:
    async with posts("a") as [a]:
        b, heard = hearing("b")
        b.address = await b.listen(LOOPBACK)
        link = await b.link_with(a)
        await a.tell(b.peer_id, b.address, PROOF)
        assert heard == [PROOF]
        assert list(a.links.values()) == [a.links[b.peer_id]]
        assert b.links[a.peer_id] is link
        assert not link.retired
        await until(lambda: len(a._sockets) == len(b._sockets) == 1)
        assert a.notes.messages == b.notes.messages == []
        assert a.notes.closings == b.notes.closings == []
        await b.close()


async def test_only_the_peer_that_is_meant_is_told() -> None:
    async with posts("a", "c") as [a, c]:
        with pytest.raises(WrongPeer):
            await a.tell(Identity.from_seed(b"z" * 32).peer_id, c.address, PROOF)
        with pytest.raises(DialRefused):
            await a.tell(c.peer_id, NOWHERE, PROOF)
        await until(lambda: not a._sockets and not c._sockets)


async def test_a_link_for_one_message_that_says_nothing_is_closed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BRIEF_LINK_S", 0.05)
    async with posts("b") as [b]:
        a = Post("a")
        link = a._outbound(b.peer_id, b.address, brief=True)
        await asyncio.get_running_loop().create_connection(lambda: link, b.address.ip, b.address.port)
        await link.ready()
        async with asyncio.timeout(5):
            await link.closed.wait()
        assert len(b.links) == 0
        with suppress(PeerHungUp):
            await a.close(Code.SHUTTING_DOWN)
