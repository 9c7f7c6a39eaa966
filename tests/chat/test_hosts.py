"""Known hosts are asked, others are found, slow ones not waited for; when there are none it is told why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chat import hosts as module
from chat.errors import HostUnreachable
from chat.hosts import Hosts, Reached
from node.asking import Said
from tests.fakes.asked_hosts import Asked, AskedHost, Searching, asked_by
from wire.contacts import Contact
from wire.types import Address, ModelId, Relayed

MODEL = ModelId(bytes(32))
NOBODY = Contact(address=Address("127.0.0.1", 1))


@asynccontextmanager
async def knowing(
    *hosts: AskedHost, besides: tuple[Contact, ...] = (), finder: Searching | None = None
) -> AsyncIterator[tuple[Hosts, Asked]]:
    finder = finder or Searching(joined=False)
    async with asked_by(9, *hosts, besides=besides, finder=finder) as made:
        known = Hosts(made.asking, made.roads, finder)
        try:
            yield known, made
        finally:
            await known.close()


async def test_known_hosts_are_reached_and_found_ones_join_them() -> None:
    first, second = AskedHost(1, shares=7), AskedHost(2)
    finder = Searching((second.peer_id, await second.listen()))
    async with knowing(first, finder=finder) as (hosts, _):
        await hosts.reach_somebody()
        assert [one.said.peer for one in await hosts.reach()] == [first.peer_id]
        assert await hosts.find(MODEL)
        assert not await hosts.find(MODEL)
        reached = {one.said.peer: one for one in await hosts.reach()}
        assert set(reached) == {first.peer_id, second.peer_id}
        # What a host announces is how others may reach it, too.
        assert reached[second.peer_id].announced == finder.found[0].ways
        assert [one.address.port for one in await hosts.sharing(MODEL)] == [7]
    await second.close()


async def test_a_search_goes_on_beside_other_things() -> None:
    other = AskedHost(2)
    async with knowing(finder=Searching((other.peer_id, await other.listen()))) as (hosts, made):
        hosts.look_for(MODEL)
        hosts.look_for(MODEL)
        async with asyncio.timeout(10):
            await made.roads.news.wait()
        assert [one.said.peer for one in await hosts.reach()] == [other.peer_id]
    await other.close()


async def test_a_slow_host_is_not_waited_for_and_heard_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.02)
    quick, slow = AskedHost(1), AskedHost(2)
    slow.is_silent = True
    async with knowing(quick, slow) as (hosts, _):
        assert [one.said.peer for one in await hosts.reach()] == [quick.peer_id]
        monkeypatch.setattr(module, "PATIENCE_S", 10.0)
        slow.is_silent = False
        assert len(await hosts.reach()) == 1 or slow.asked == 1


async def test_a_host_at_two_addresses_is_one_host() -> None:
    host = AskedHost(1)
    async with knowing(host, besides=(Contact(address=await host.listen()),)) as (hosts, _):
        assert len(await hosts.reach()) == 1


async def test_a_host_that_hangs_up_is_named_with_its_reason() -> None:
    host = AskedHost(1)
    host.hangs_up = True
    async with knowing(host) as (hosts, _):
        with pytest.raises(HostUnreachable, match="not today"):
            await hosts.reach()
        assert await hosts.sharing(None) == []


async def test_a_wrong_address_is_told_at_once_and_stays_told() -> None:
    async with knowing(besides=(NOBODY,)) as (hosts, _):
        with pytest.raises(HostUnreachable, match="nothing listens at"):
            await hosts.reach_somebody()
        # It failed a moment ago and is not dialled again; what is wrong is still said.
        with pytest.raises(HostUnreachable, match="refuses the connection"):
            await hosts.reach()
        assert not await hosts.may_find()


async def test_who_can_search_does_not_give_up_for_one_wrong_address() -> None:
    async with knowing(besides=(NOBODY,), finder=Searching()) as (hosts, _):
        await hosts.reach_somebody()
        with pytest.raises(HostUnreachable, match="is announced"):
            await hosts.reach()
        assert await hosts.may_find()


async def test_with_nobody_to_ask_it_waits_for_somebody_and_then_tells_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.05)
    async with knowing() as (hosts, _):
        with pytest.raises(HostUnreachable, match="name one with --peer"):
            await hosts.reach_somebody()


async def test_somebody_who_appears_meanwhile_is_enough() -> None:
    host = AskedHost(1)
    finder = Searching((host.peer_id, await host.listen()), joined=False)
    async with knowing(finder=finder) as (hosts, _):
        waiting = asyncio.create_task(hosts.reach_somebody())
        await asyncio.sleep(0)
        await hosts.find(MODEL)
        await waiting
        assert len(await hosts.reach()) == 1
    await host.close()


async def test_ways_to_a_host_are_as_this_process_goes_and_as_it_announces() -> None:
    host = AskedHost(1)
    async with knowing(host) as (hosts, made):
        (reached,) = await hosts.reach()
        assert reached.ways == (made.addresses[0],)
        link = reached.said.link
        further = Address("192.0.2.7", 7311)
        assert Reached(Said(link, reached.said.hosting), (further, link.remote)).ways == (
            link.remote,
            further,
        )
        link.via = host.peer_id
        assert Reached(Said(link, reached.said.hosting)).ways == (Relayed(host.peer_id, link.remote),)
        link.via = None
