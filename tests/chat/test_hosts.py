"""Hosts that were named are asked, others are found, and when there are none the next step is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from chat.driver import Contact
from chat.errors import HostUnreachable
from chat.hosts import Hosts
from crypto.identity import Identity
from node.finding import Finder, Found
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting
from wire.types import Address, ModelId

MODEL = ModelId(bytes(32))
LOCAL = Address("127.0.0.1", 0)


class Searching:
    """A finder that finds these hosts."""

    def __init__(self, *found: Found, joined: bool = True) -> None:
        self.found = found
        self.is_joined = joined

    async def hosts(self, _model: ModelId) -> Sequence[Found]:
        return self.found

    async def joined(self, _within_s: float = 3.0) -> bool:
        return self.is_joined


class Host:
    """A peer that answers what it serves, and where it gives weights."""

    def __init__(self, number: int, shares: int | None = None) -> None:
        self.identity = Identity.from_seed(bytes([number]) * 32)
        self.shares = shares
        self.answers = True
        self.pool = LinkPool(
            self.identity, "main", "host", on_message=self._on_message, on_closed=lambda *_: None
        )

    def _on_message(self, link: Link, message: Message) -> None:
        if isinstance(message, Describe):
            if self.answers:
                link.send(Hosting(offers=(), draining=False, shares=self.shares))
            else:
                link.hang_up(Code.SHUTTING_DOWN, "not today")


class Asking:
    """A client's hosts over real links."""

    def __init__(self, contacts: Sequence[Address], searching: Searching) -> None:
        me = Identity.from_seed(bytes([9]) * 32)
        self.pool = LinkPool(me, "main", "client", on_message=self._on_message, on_closed=self._on_closed)
        self.hosts = Hosts(tuple(map(Contact, contacts)), self.pool, cast("Finder", searching))

    def _on_message(self, link: Link, message: Message) -> None:
        assert self.hosts.on_message(link, message) == isinstance(message, Hosting)

    def _on_closed(self, link: Link, code: Code, detail: str) -> None:
        self.hosts.on_closed(link, code, detail)


async def test_named_hosts_are_reached_and_found_ones_join_them() -> None:
    first, second = Host(1, shares=7), Host(2)
    named, found = await first.pool.listen(LOCAL), await second.pool.listen(LOCAL)
    asking = Asking([named], Searching(Found(second.identity.peer_id, found)))
    await asking.hosts.reach_named()
    assert [link.peer_id for link, _ in await asking.hosts.reach()] == [first.identity.peer_id]
    assert await asking.hosts.find(MODEL)
    assert not await asking.hosts.find(MODEL)
    assert {link.peer_id for link, _ in await asking.hosts.reach()} == {
        first.identity.peer_id,
        second.identity.peer_id,
    }
    sharing = await asking.hosts.sharing(MODEL)
    assert [(one.peer, one.address) for one in sharing] == [(first.identity.peer_id, Address(named.ip, 7))]
    for pool in (asking.pool, first.pool, second.pool):
        await pool.close()


async def test_a_host_at_two_addresses_is_one_host() -> None:
    host = Host(1)
    one, two = await host.pool.listen(LOCAL), await host.pool.listen(LOCAL)
    asking = Asking([one, two], Searching())
    assert len(await asking.hosts.reach()) == 1
    await asking.pool.close()
    await host.pool.close()


async def test_a_host_that_hangs_up_is_named_with_its_reason() -> None:
    host = Host(1)
    host.answers = False
    asking = Asking([await host.pool.listen(LOCAL)], Searching())
    with pytest.raises(HostUnreachable, match="not today"):
        await asking.hosts.reach()
    assert await asking.hosts.sharing(None) == []
    await asking.pool.close()
    await host.pool.close()


@pytest.mark.parametrize(("joined", "words"), [(False, "no host is known"), (True, "is announced")])
async def test_with_nobody_to_ask_the_next_step_is_told(joined: bool, words: str) -> None:
    asking = Asking([], Searching(joined=joined))
    if joined:
        await asking.hosts.reach_named()
    else:
        with pytest.raises(HostUnreachable, match=words):
            await asking.hosts.reach_named()
    assert not await asking.hosts.find(MODEL)
    with pytest.raises(HostUnreachable, match=words):
        await asking.hosts.reach()
    await asking.pool.close()
