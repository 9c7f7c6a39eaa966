"""Dial-backs over real links and sockets of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from crypto.identity import PeerId
from node.reach.dial_back import Verdict
from node.reach.proving import Prover
from node.transport.errors import DialRefused
from node.transport.link import Link
from tests.fakes.lines import FakeLine
from tests.fakes.pools import LOOPBACK, Post
from wire.messages.base import Message
from wire.messages.reach import DialBack, DialledBack, Outcome, Proof, Transport
from wire.types import Address


class Peer:
    def __init__(self, name: str) -> None:
        self.verdicts: list[Verdict] = []
        self.pool = Post(name, on_message=self._message)
        self.sent: list[int] = []
        self.prover = Prover(tell=self.pool.tell, on_verdict=self.verdicts.append, sent=self.sent.append)
        self.pool.on_brief = self.prover.on_proof
        self.running = asyncio.ensure_future(self.prover.run())

    def _message(self, link: Link, message: Message) -> None:
        self.prover.on_message(link, message)

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running
        await self.pool.close()


@asynccontextmanager
async def peers() -> AsyncIterator[tuple[Peer, Peer]]:
    """One that asks, one that dials; both listen."""
    one, other = Peer("one"), Peer("other")
    try:
        for peer in (one, other):
            peer.pool.address = await peer.pool.listen(LOOPBACK)
        await asyncio.sleep(0)
        yield one, other
    finally:
        await one.stop()
        await other.stop()


async def test_a_port_that_is_ours_is_proven_and_the_link_stays_as_it_was() -> None:
    async with peers() as (one, other):
        link = await one.pool.link_with(other.pool)
        verdict = await one.prover.ask(link, Transport.TCP, one.pool.address.port)
        assert verdict is not None
        assert (verdict.proven, verdict.address) == (True, one.pool.address)
        assert one.verdicts == [verdict]
        assert one.pool.links[other.pool.peer_id] is link
        assert not link.retired
        assert one.pool.notes.closings == other.pool.notes.closings == []


async def test_a_port_where_nobody_or_somebody_else_listens_is_not_proven() -> None:
    async with peers() as (one, other):
        third = Post("third")
        address = await third.listen(LOOPBACK)
        link = await one.pool.link_with(other.pool)
        verdict = await one.prover.ask(link, Transport.TCP, address.port)
        assert verdict is not None
        assert (verdict.proven, verdict.refused) == (False, False)
        await third.close()


async def test_a_udp_socket_that_is_ours_is_proven() -> None:
    async with peers() as (one, other):
        heard = one.prover.on_datagram

        class Ear(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
                assert heard(data)

        ear, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
        port = ear.get_extra_info("sockname")[1]
        link = await one.pool.link_with(other.pool)
        verdict = await one.prover.ask(link, Transport.UDP, port)
        assert verdict is not None
        assert (verdict.proven, verdict.address) == (True, Address("127.0.0.1", port))
        assert other.sent, "what is sent for others is counted"
        assert one.sent == []
        ear.close()


@asynccontextmanager
async def alone(told: list[Address], *, fails: bool = False, datagrams: bool = True) -> AsyncIterator[Prover]:
    async def tell(peer: PeerId, address: Address, message: Message) -> None:
        assert isinstance(message, Proof)
        told.append(address)
        if fails:
            raise DialRefused(address, peer, "nobody", "nothing")

    prover = Prover(tell=tell, datagrams=datagrams)
    running = asyncio.ensure_future(prover.run())
    await asyncio.sleep(0)
    try:
        yield prover
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def answered(line: FakeLine) -> Outcome:
    async with asyncio.timeout(5):
        while not line.sent:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.005)
    [answer] = line.sent
    assert isinstance(answer, DialledBack)
    return answer.outcome


QUESTION = DialBack(nonce=bytes(16), transport=Transport.TCP, port=7311)


@pytest.mark.parametrize(("fails", "outcome"), [(False, Outcome.REACHED), (True, Outcome.UNREACHED)])
async def test_the_asker_is_told_what_came_of_it(fails: bool, outcome: Outcome) -> None:
    told: list[Address] = []
    async with alone(told, fails=fails) as prover:
        line = FakeLine()
        prover.on_message(line, QUESTION)
        assert await answered(line) is outcome
        assert told == [Address("127.0.0.1", 7311)]
        assert prover._dialler._under_way == 0


async def test_a_carried_link_is_not_dialled_back() -> None:
    told: list[Address] = []
    async with alone(told) as prover:
        line = FakeLine(via=PeerId(b"r" * 32))
        prover.on_message(line, QUESTION)
        assert await answered(line) is Outcome.REFUSED
        assert told == []
        assert await prover.ask(line, Transport.TCP, 7311) is None


async def test_udp_may_be_left_out() -> None:
    async with alone([], datagrams=False) as prover:
        line = FakeLine()
        prover.on_message(line, DialBack(nonce=bytes(16), transport=Transport.UDP, port=7311))
        assert await answered(line) is Outcome.REFUSED


async def test_a_link_that_ends_ends_the_question() -> None:
    async with alone([]) as prover:
        line = FakeLine()
        asking = asyncio.ensure_future(prover.ask(line, Transport.TCP, 7311))
        await asyncio.sleep(0)
        prover.on_closed(line.peer_id)
        verdict = await asking
        assert verdict is not None
        assert verdict.refused
        assert await prover.ask(FakeLine(is_over=True), Transport.TCP, 7311) is None


async def test_a_stop_while_dialling_leaves_nothing_under_way() -> None:
    async def tell(peer: PeerId, address: Address, message: Message) -> None:
        await asyncio.Event().wait()

    prover = Prover(tell=tell)
    running = asyncio.ensure_future(prover.run())
    await asyncio.sleep(0)
    prover.on_message(FakeLine(), QUESTION)
    await asyncio.sleep(0)
    assert prover._dialler._under_way == 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert prover._dialler._under_way == 0
    assert await prover.ask(FakeLine(), Transport.TCP, 7311) is None
