"""Nodes in a simulated network: they join, store, find, and do without those that are gone."""

from __future__ import annotations

import asyncio

import pytest

from node.dht.exchange import Failure
from scripts.dht_world.clock import run
from scripts.dht_world.trials import KEY, MODEL, announce, record_of
from scripts.dht_world.world import NETWORK, Weather, World
from wire import limits
from wire.dht_messages import Outcome, Ping
from wire.records import SliceRecord, sign_record
from wire.types import Address

FAIR = Weather(round_trip_s=0.02, spread=0.1, loss=0.0)


def settled(count: int, weather: Weather = FAIR) -> World:
    world = World(weather)
    for _ in range(count):
        world.add()
    world.settle()
    return world


def test_nodes_that_know_one_address_join_and_find_what_others_store() -> None:
    async def main() -> None:
        world = World(FAIR)
        first = world.add()
        for _ in range(9):
            node = world.add()
            assert await node.join([world.where(first)]) >= 1
        await announce(world, world.nodes[:3], 1)
        for node in world.nodes:
            found = [record async for record in node.records(KEY)]
            assert len({record.place for record in found}) == 3

    run(main())


def test_a_newcomer_with_nobody_asks_its_bootstrap_contacts_when_it_needs_them() -> None:
    async def main() -> None:
        world = settled(20)
        await announce(world, world.nodes[:1], 1)
        late = world.add()
        assert [record async for record in late.records(KEY)] == []
        late.bootstrap = [world.where(world.nodes[0])]
        assert len([record async for record in late.records(KEY)]) == 1

    run(main())


def test_a_record_is_stored_with_the_nearest_and_itself_if_it_is_one() -> None:
    async def main() -> None:
        world = settled(60)
        host = world.nearest(KEY, 1)[0]
        assert await announce(world, [host], 1) == [limits.REPLICAS]
        holders = [node for node in world.nodes if node.protocol.storage.count(KEY, world.wall())]
        assert host in holders
        assert len(set(holders) & set(world.nearest(KEY, limits.REPLICAS + 2))) >= limits.REPLICAS - 1

    run(main())


def test_a_lone_node_keeps_its_own_record() -> None:
    async def main() -> None:
        world = World(FAIR)
        node = world.add()
        assert await announce(world, [node], 1) == [1]
        assert len([record async for record in node.records(KEY)]) == 1

    run(main())


def test_a_wrong_clock_is_told_by_those_who_refuse() -> None:
    async def main() -> None:
        world = settled(30)
        host = world.nodes[0]
        host.protocol.wall = lambda: world.wall() + 7200
        record = record_of(host, world.where(host), sequence=1, now=int(world.wall()) + 7200)
        report = await host.publish(sign_record(record, host.protocol.identity, NETWORK), record)
        assert report.outcomes[Outcome.UNTIMELY] > report.stored
        assert report.clock_ahead_s == pytest.approx(7200, abs=2)

    run(main())


def test_what_expired_is_not_found() -> None:
    async def main() -> None:
        world = settled(30)
        await announce(world, world.nodes[:5], 1)
        await asyncio.sleep(limits.RECORD_TTL_SECONDS - 5)
        assert len((await world.nodes[20].search(KEY)).records) == 5
        await asyncio.sleep(10)
        assert (await world.nodes[20].search(KEY)).records == {}

    run(main())


def test_a_dead_node_is_forgotten_and_not_tried_again_soon() -> None:
    async def main() -> None:
        world = settled(40)
        seeker = world.nodes[0]
        for victim in world.nearest(KEY, 15)[:10]:
            if victim is not seeker:
                world.kill(victim)
        await seeker.search(KEY)
        await asyncio.sleep(3)
        first = seeker.protocol.counts["lost"]
        await seeker.search(KEY)
        await asyncio.sleep(3)
        assert first > 0
        assert seeker.protocol.counts["lost"] <= first + 2

    run(main())


def test_a_search_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_DEADLINE_S", 0.01)

    async def main() -> None:
        world = settled(20)
        done = await world.nodes[0].search(KEY)
        assert done.tally.took_s < 0.02
        assert world.nodes[0].protocol.counts["search deadlines"] == 1

    run(main())


def test_a_closed_node_answers_nothing_and_asks_nothing() -> None:
    async def main() -> None:
        world = settled(5)
        one, two = world.nodes[:2]
        one.close()
        hello = Ping(sender=one.protocol.node, serves=False)
        assert await one.ask(hello, world.where(two)) is Failure.CLOSED
        assert await two.ask(hello, world.where(one)) is Failure.LOST

    run(main())


def test_an_abandoned_search_leaves_nothing_behind() -> None:
    async def main() -> None:
        world = settled(40)
        await announce(world, world.nodes[:5], 1)
        seeker = world.nodes[30]
        records = seeker.records(KEY)
        first = await anext(records)
        assert isinstance(first, SliceRecord) and first.model == MODEL
        await records.aclose()  # type: ignore[attr-defined]  # it is a generator
        await asyncio.sleep(5)
        assert seeker.protocol.next_timeout() is None

    run(main())


def test_addresses_of_a_family_that_cannot_be_used_are_not_asked() -> None:
    async def main() -> None:
        world = World(FAIR)
        node = world.add()
        node.families = type(node.families)(v4=True, v6=False)
        assert await node.greet([Address("2001:db8::1", 1)]) == 0
        assert world.counts["datagrams"] == 0

    run(main())


def test_a_refresh_fills_buckets_and_drops_the_dead() -> None:
    async def main() -> None:
        world = World(FAIR)
        for _ in range(40):
            world.add()
        for node in world.nodes[1:]:
            await node.greet([world.where(world.nodes[0])])
        node = world.nodes[5]
        assert len(node.protocol.routing) < 5
        await node.nearest(node.protocol.node)
        await node.refresh()
        assert len(node.protocol.routing) > 20

    run(main())


def test_a_node_that_was_silent_is_asked_again_once_it_has_answered() -> None:
    async def main() -> None:
        world = settled(12)
        seeker, silent = world.nodes[0], world.nodes[5]
        where = world.where(silent)
        world.dead.add(where)
        await seeker.search(KEY)
        await asyncio.sleep(3)
        assert seeker.protocol.routing.get(silent.protocol.node) is None
        world.dead.discard(where)
        # It asks us, is challenged, and so proves that it lives.
        await silent.greet([world.where(seeker)])
        await asyncio.sleep(1)
        search = await seeker.search(KEY)
        assert silent.protocol.node in {one.contact.node for one in search.nearest}

    run(main())
