"""A host reaches itself as it reaches others: later, never in the middle of what it is doing."""

from __future__ import annotations

import asyncio

from node.correspondents import Correspondent, Loopback, tell
from node.transport.errors import LinkClosed
from tests.fakes.serving import ALICE, ME, FakeLink
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.link import Ping
from wire.types import Address


class ClosedLink(FakeLink):
    def send(self, message: Message) -> None:
        raise LinkClosed(Address("127.0.0.1", 1), Code.TIMEOUT, "", by_peer=False)


async def test_a_message_to_oneself_arrives_later_and_says_who_sent_it() -> None:
    arrived: list[tuple[Correspondent, Message]] = []
    loopback = Loopback(ME, lambda sender, message: arrived.append((sender, message)))
    loopback.send(Ping(nonce=1))
    assert arrived == []
    await asyncio.sleep(0)
    assert arrived == [(loopback, Ping(nonce=1))]
    assert loopback.peer_id == ME


def test_a_link_that_has_ended_is_told_by_the_answer() -> None:
    link = FakeLink(ALICE)
    assert tell(link, Ping(nonce=1)) and link.sent == [Ping(nonce=1)]
    assert not tell(ClosedLink(ALICE), Ping(nonce=1))
