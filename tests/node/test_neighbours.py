from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from crypto.identity import Identity
from node import neighbours as module
from node.model_library import Neighbour
from node.neighbours import Neighbours
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.deadline import until
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting
from wire.types import Address

ME = Identity.from_seed(bytes([99]) * 32).peer_id
LOCAL = Address("127.0.0.1", 0)


class Peer:
    """A host that answers what it serves, or does not."""

    def __init__(self, seed: int, shares: int | None, *, answers: bool = True, network: str = "main") -> None:
        self.identity = Identity.from_seed(bytes([seed]) * 32)
        self.shares = shares
        self.answers = answers
        self.asked = 0
        self.pool = LinkPool(
            self.identity, network, "test", on_message=self._on_message, on_closed=lambda *_: None
        )

    def _on_message(self, link: Link, message: Message) -> None:
        if isinstance(message, Describe):
            self.asked += 1
            if self.answers:
                link.send(Hosting(offers=(), draining=False, shares=self.shares))


@asynccontextmanager
async def asking(
    *peers: Peer, besides: Sequence[Address] = ()
) -> AsyncIterator[tuple[Neighbours, list[Address]]]:
    """Neighbours whose contacts are these peers, and addresses besides."""
    addresses = [await peer.pool.listen(LOCAL) for peer in peers]
    found = Neighbours([*addresses, *besides], me=ME)
    pool = LinkPool(
        Identity.from_seed(bytes(32)),
        "main",
        "test",
        on_message=found.on_message,
        on_closed=found.on_closed,
    )
    found.connect(pool)
    try:
        yield found, addresses
    finally:
        await pool.close()
        for peer in peers:
            await peer.pool.close()


async def test_those_that_give_chunks_are_named_with_their_ports() -> None:
    gives, keeps = Peer(1, 7777), Peer(2, None)
    async with asking(gives, keeps) as (found, addresses):
        assert await found.sharing(None) == [Neighbour(gives.identity.peer_id, Address("127.0.0.1", 7777))]
        heard = await found.ask()
        assert [(one.peer, one.address, one.hosting.shares) for one in heard] == [
            (gives.identity.peer_id, addresses[0], 7777),
            (keeps.identity.peer_id, addresses[1], None),
        ]


async def test_what_they_say_is_asked_anew_each_time() -> None:
    peer = Peer(1, 1000)
    async with asking(peer) as (found, _):
        assert [one.address.port for one in await found.sharing(None)] == [1000]
        peer.shares = 2000
        assert [one.address.port for one in await found.sharing(None)] == [2000]


async def test_two_questions_at_once_are_both_answered() -> None:
    async with asking(Peer(1, 1000)) as (found, _):
        answers = await asyncio.gather(*(found.sharing(None) for _ in range(5)))
        assert [len(one) for one in answers] == [1] * 5
        assert len(await found.sharing(None)) == 1


async def test_who_cannot_be_reached_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer(1, 1000)
    async with asking(peer, besides=[Address("127.0.0.1", 1)]) as (found, _):
        assert len(await found.sharing(None)) == 1
    assert "peer 127.0.0.1:1 cannot be asked: " in caplog.text


async def test_who_is_of_another_network_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(Peer(1, 1000, network="club")) as (found, _):
        assert await found.sharing(None) == []
    assert "cannot be asked" in caplog.text


async def test_who_does_not_answer_is_left_out_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    silent = Peer(1, 1000, answers=False)
    async with asking(silent, Peer(2, 2000)) as (found, _):
        assert [one.address.port for one in await found.sharing(None)] == [2000]
        # It may answer another time.
        silent.answers = True
        assert len(await found.sharing(None)) == 2
    assert "did not answer in 0.1 s" in caplog.text


async def test_who_closes_the_link_instead_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rude = Peer(1, 1000, answers=False)
    async with asking(rude) as (found, _):
        asked = asyncio.create_task(found.sharing(None))
        await until(lambda: rude.asked == 1)
        await rude.pool.close(Code.SHUTTING_DOWN, "bye")
        async with asyncio.timeout(20):
            assert await asked == []
    assert "closed the link" in caplog.text


async def test_a_question_can_be_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "node.neighbours")
    silent = Peer(1, 1000, answers=False)
    async with asking(silent) as (found, _):
        asked = asyncio.create_task(found.ask())
        await until(lambda: silent.asked == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert "closed the link" not in caplog.text


async def test_an_answer_that_nobody_asked_for_is_no_harm() -> None:
    peer = Peer(1, 1000)
    async with asking(peer) as (found, _):
        await found.ask()
        (link,) = peer.pool.links.values()
        for _ in range(3):
            link.send(Hosting(offers=(), draining=False, shares=5))
        assert [one.address.port for one in await found.sharing(None)] in ([1000], [5])


async def test_without_contacts_nobody_is_asked() -> None:
    async with asking() as (found, _):
        assert await found.ask() == []


async def test_links_come_before_the_first_question() -> None:
    with pytest.raises(RuntimeError, match="no links yet"):
        await Neighbours([LOCAL], me=ME).ask()
