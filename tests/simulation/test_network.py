"""Networks of 200 nodes on a virtual clock: what searches find when nodes die, lie, and choose their places.

The code of protocol, storage and search is the real one. `python -m scripts.dht_simulation` tries 1,000 and 10,000.
"""

from __future__ import annotations

import asyncio

import pytest

from scripts.dht_simulation import besieged, dying, lying, main, quiet
from scripts.dht_world.clock import run
from scripts.dht_world.liars import Liar, Lie, Ring, infest
from scripts.dht_world.trials import KEY, announce, search, searches
from scripts.dht_world.world import Weather, World
from wire import limits

NODES = 150
SEARCHES = 12


def test_with_everybody_well_all_hosts_are_found_with_few_requests() -> None:
    result = run(quiet(NODES, SEARCHES))
    assert (result.complete, result.wrong) == (1.0, 0)
    assert result.first_p50_s <= 0.2
    assert result.took_p50_s <= 1.0
    assert result.requests_p50 <= 30


def test_with_three_in_ten_dead_all_hosts_are_found() -> None:
    result = run(dying(NODES, SEARCHES))
    assert (result.complete, result.wrong) == (1.0, 0)
    assert result.took_p50_s <= 1.0


def test_with_the_eight_nearest_hostile_all_hosts_are_found() -> None:
    result = run(besieged(NODES, SEARCHES))
    assert (result.complete, result.wrong) == (1.0, 0)


def test_with_one_in_five_hostile_all_hosts_are_found() -> None:
    result = run(lying(NODES, SEARCHES))
    assert (result.complete, result.wrong) == (1.0, 0)


@pytest.mark.parametrize("lie", Lie, ids=lambda one: one.name.lower())
def test_no_way_of_lying_keeps_a_third_of_hostile_nodes_from_being_outvoted(lie: Lie) -> None:
    async def play() -> None:
        world = World(Weather(loss=0.0))
        for _ in range(60):
            world.add()
        infest(world, 30, (lie,))
        world.settle()
        hosts = world.nodes[:10]
        await announce(world, hosts, 1)
        await announce(world, hosts, 2)
        result = await searches(world, hosts, 4, 2)
        assert result.wrong == 0
        assert result.found_least >= 9
        assert result.complete >= 0.75

    run(play())


def test_liars_cannot_have_nodes_store_what_they_make_up() -> None:
    async def play() -> None:
        world = World(Weather(loss=0.0))
        for _ in range(30):
            world.add()
        ring: Ring = infest(world, 10, (Lie.FORGED, Lie.STALE))
        world.settle()
        await announce(world, world.nodes[:5], 1)
        for node in world.nodes:
            for _, record in [(None, one) for one in node.protocol.storage.records(KEY, world.wall())]:
                assert record.lifetime.sequence == 1
        assert ring.records

    run(play())


def test_nodes_that_come_and_go_leave_records_that_are_found_and_those_of_the_dead_expire() -> None:
    async def play() -> None:
        world = World(Weather(loss=0.01))
        for _ in range(80):
            world.add()
        world.settle()
        hosts = world.nodes[:8]
        await announce(world, hosts, 1)
        for round_ in range(2, 5):
            for victim in world.dice.sample(world.nodes[8:], 6):
                world.kill(victim)
            for _ in range(6):
                newcomer = world.add()
                await newcomer.greet([world.where(world.nodes[round_])])
                await newcomer.nearest(newcomer.protocol.node)
            await asyncio.sleep(limits.RECORD_TTL_SECONDS / 3)
            await announce(world, hosts, round_)
        result = await searches(world, hosts, 8, 4)
        assert (result.complete, result.wrong) == (1.0, 0)
        for gone in hosts[:4]:
            world.kill(gone)
        await asyncio.sleep(limits.RECORD_TTL_SECONDS / 2)
        await announce(world, hosts[4:], 5)
        await asyncio.sleep(limits.RECORD_TTL_SECONDS / 2 + 1)
        done = await world.nodes[-1].search(KEY)
        living = {one.protocol.identity.public_key for one in hosts[4:]}
        assert {record.host for _, record in done.records.values()} == living

    run(play())


def test_a_simulation_is_the_same_every_time() -> None:
    async def play() -> tuple[object, int]:
        world = World(Weather(loss=0.05))
        for _ in range(40):
            world.add()
        world.settle()
        await announce(world, world.nodes[:3], 1)
        outcome = await search(world.nodes[20], world.nodes[:3], 1)
        return outcome, world.counts["bytes"]

    assert run(play()) == run(play())


def test_a_liar_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The liars answer: a proof against silent ones would prove little."""

    async def play() -> None:
        world = World(Weather(loss=0.0))
        node = world.add()
        for lie in Lie:
            ring = infest(world, 1, (lie,))
            (liar,) = [one for one in world.places.values() if isinstance(one, Liar) and one.lie is lie]
            before = world.counts["datagrams"]
            await node.greet([ring.members[0].contact.address])
            assert world.counts["datagrams"] > before + 1
            assert liar.lie is lie

    run(play())


def test_the_script_says_which_bars_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--small", "--only", "nothing of that name"]) == 0
    assert capsys.readouterr().out == ""
