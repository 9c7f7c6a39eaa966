"""Simulates the DHT at the size it is meant for, with dead and hostile nodes, and judges it by what it has to show.

    python -m scripts.dht_simulation [--small]

The code of protocol, storage and search is the real one; the clock and the network are not. With `--small` the networks
have 200 nodes. It exits 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from scripts.dht_world.clock import run
from scripts.dht_world.liars import Lie, besiege, infest
from scripts.dht_world.trials import KEY, Summary, announce, searches
from scripts.dht_world.world import Weather, World

HOSTS = 20


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and what a search in it has to show."""

    name: str
    play: Callable[[int, int], Coroutine[Any, Any, Summary]]
    nodes: int
    searches: int
    holds: Callable[[Summary], bool]


async def dying(nodes: int, count: int) -> Summary:
    """Thirty of a hundred nodes die after the hosts announced."""
    world = World(Weather(loss=0.01))
    for _ in range(nodes):
        world.add()
    world.settle(known=150)
    hosts = world.nodes[:HOSTS]
    await announce(world, hosts, 1)
    for victim in world.dice.sample(world.nodes[HOSTS:], 3 * nodes // 10):
        world.kill(victim)
    return await searches(world, hosts, count, 1)


async def quiet(nodes: int, count: int) -> Summary:
    """Nobody dies and nobody lies."""
    world = World(Weather(loss=0.01))
    for _ in range(nodes):
        world.add()
    world.settle(known=150)
    hosts = world.nodes[:HOSTS]
    await announce(world, hosts, 1)
    return await searches(world, hosts, count, 1)


async def lying(nodes: int, count: int) -> Summary:
    """One in five lies, in every way, knowing all others that do."""
    world = World(Weather(loss=0.01))
    for _ in range(nodes - nodes // 5):
        world.add()
    infest(world, nodes // 5, tuple(Lie))
    world.settle(known=150)
    hosts = world.nodes[:HOSTS]
    await announce(world, hosts, 1)
    await announce(world, hosts, 2)
    return await searches(world, hosts, count, 2)


async def besieged(nodes: int, count: int) -> Summary:
    """The eight nearest to the key lie, having chosen their places."""
    world = World(Weather(loss=0.01))
    for _ in range(nodes):
        world.add()
    besiege(world, KEY, 8, (Lie.EMPTY, Lie.FEW, Lie.STALE, Lie.INVENTED))
    world.settle(known=150)
    hosts = world.nodes[:HOSTS]
    await announce(world, hosts, 1)
    return await searches(world, hosts, count, 1)


def cases(*, small: bool) -> list[Case]:
    """What is tried."""
    large, middle = (200, 200) if small else (10_000, 1_000)
    count = 40 if small else 200

    def fast(one: Summary) -> bool:
        all_found = one.complete == 1 and one.wrong == 0
        return all_found and one.first_p50_s <= 0.2 and one.took_p50_s <= 1.0 and one.requests_p50 <= 30

    def true(one: Summary) -> bool:
        return one.complete >= 0.99 and one.wrong == 0

    return [
        Case(f"{middle} nodes", quiet, middle, count, fast),
        Case(f"{middle} nodes, the 8 nearest to the key hostile", besieged, middle, count, true),
        Case(f"{middle} nodes, 20 % hostile and colluding", lying, middle, count, true),
        Case(f"{large} nodes, 30 % dead, 1 % loss", dying, large, count, fast),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run all cases and print what came of them."""
    parser = argparse.ArgumentParser(description="Simulate the DHT.")
    parser.add_argument("--small", action="store_true", help="networks of 200 nodes")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    options = parser.parse_args(arguments)
    missed = 0
    for case in cases(small=options.small):
        if options.only not in case.name:
            continue
        started = time.monotonic()
        result = run(case.play(case.nodes, case.searches))
        met = case.holds(result)
        missed += not met
        print(
            f"{'ok    ' if met else 'MISSED'} {case.name}: {result}  [{time.monotonic() - started:.0f} s]",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
