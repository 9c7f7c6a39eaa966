"""A host that chooses for itself, driven by fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from node import auto
from node.auto import AutoHost, Hands, NothingFits
from node.errors import NodeError
from node.planning.cost import PROCESS_BYTES
from node.planning.gap import Choice, Heard
from node.planning.moving import ROUND_S, Move, Stay, rank
from tests.fakes.heard import heard, joining, offer, peer
from tests.fakes.shapes import MB, shape
from wire.types import LayerRange

COUNT = 12
EVERYTHING = [heard("a", offer(0, 12, COUNT))]


class Broken(NodeError):
    """A slice cannot be loaded."""


@dataclass
class World:
    """Peers, a disk and a clock."""

    others: list[Heard] = field(default_factory=list)
    now: float = 0.0
    done: list[str] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)
    deaf: BaseException | None = None
    asked: str | None = None
    loading: asyncio.Event | None = None

    async def hear(self) -> Sequence[Heard]:
        if self.deaf is not None:
            raise self.deaf
        return self.others

    async def load(self, choice: Choice) -> None:
        if self.loading is not None:
            self.loading.set()
            await asyncio.Event().wait()
        if str(choice.layers) in self.fails:
            raise Broken("it cannot be loaded", "try another")
        self.done.append(f"load {choice.layers}")

    async def unload(self, choice: Choice) -> None:
        self.done.append(f"unload {choice.layers}")

    def host(self, layers: int = 4) -> AutoHost:
        joins = joining("me", shape(COUNT, 10, head_mb=10), PROCESS_BYTES + layers * 10 * MB)
        return AutoHost(
            joins,
            Hands(
                hear=self.hear,
                load=self.load,
                unload=self.unload,
                clock=lambda: self.now,
                settled=lambda: self.asked,
            ),
        )

    def go_to_a_round_for_me(self, *others: str) -> None:
        first = int(self.now // ROUND_S) // 2 * 2 + 10
        self.now = ROUND_S * next(
            number
            for number in range(first, first + 5_000, 2)
            if all(rank(peer("me"), number) < rank(peer(name), number) for name in others)
        )


async def settled(world: World) -> AutoHost:
    """A host at layers 0:4, and then a swarm that has these and lacks the end."""
    world.others = [heard("a", offer(4, 12, COUNT))]
    host = world.host()
    assert (await host.settle()).layers == LayerRange(0, 4)
    world.others = [heard("a", offer(0, 8, COUNT))]
    world.go_to_a_round_for_me("a")
    return host


async def test_it_settles_where_the_swarm_lacks_most() -> None:
    world = World()
    host = await settled(world)
    assert world.done == ["load 0:4"]
    assert host.current is not None


async def test_it_moves_when_nothing_is_left_bare() -> None:
    world = World()
    host = await settled(world)
    decided = await host.consider()
    assert isinstance(decided, Move)
    assert world.done == ["load 0:4", "unload 0:4", "load 9:12"]
    assert host.current == decided.choice


async def test_where_people_asked_for_something_it_stays() -> None:
    world = World()
    host = await settled(world)
    world.asked = "it is paused"
    decided = await host.consider()
    assert isinstance(decided, Stay) and decided.reason == "it is paused"
    assert world.done == ["load 0:4"]
    world.asked = None
    assert isinstance(await host.consider(), Move)


async def test_a_slice_that_cannot_be_loaded_is_not_moved_to() -> None:
    world = World(fails={"9:12"})
    host = await settled(world)
    decided = await host.consider()
    assert isinstance(decided, Stay)
    assert "9:12 could not be loaded (it cannot be loaded; try another)" in decided.reason
    assert world.done == ["load 0:4", "unload 0:4", "load 0:4"]
    assert host.current is not None


async def test_where_neither_can_be_loaded_nothing_is_served_and_it_says_so() -> None:
    world = World()
    host = await settled(world)
    world.fails = {"0:4", "9:12"}
    with pytest.raises(Broken):
        await host.consider()
    assert host.current is None
    assert await host.consider() == Stay(reason="nothing is served")


async def test_a_move_that_is_cancelled_leaves_nothing_that_is_said_to_be_served() -> None:
    world = World()
    host = await settled(world)
    world.loading = asyncio.Event()
    moving = asyncio.ensure_future(host.consider())
    async with asyncio.timeout(5):
        await world.loading.wait()
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    assert host.current is None


@pytest.mark.parametrize("deaf", [TimeoutError(), Broken("no peer", "connect")])
async def test_whoever_hears_nobody_stays_but_may_begin(deaf: BaseException) -> None:
    world = World()
    host = await settled(world)
    world.deaf = deaf
    assert await host.consider() == Stay(reason="no peer could be heard")
    assert (await World(deaf=deaf).host().settle()).reason.startswith("nobody serves this model yet")


async def test_peers_that_do_not_answer_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "HEAR_TIMEOUT_S", 0.01)
    world = World()
    host = await settled(world)

    async def never() -> Sequence[Heard]:
        await asyncio.Event().wait()
        return ()

    slow = AutoHost(
        joining("me", shape(COUNT, 10), PROCESS_BYTES + 40 * MB),
        Hands(hear=never, load=world.load, unload=world.unload, clock=lambda: 0.0),
    )
    assert (await slow.settle()).layers
    assert host.current is not None


async def test_a_machine_without_room_is_told_so() -> None:
    with pytest.raises(NothingFits, match=r"hold no layer.*give it more memory"):
        await World().host(layers=0).settle()


async def test_it_decides_once_in_two_rounds_in_the_first_half_of_the_even_one() -> None:
    world = World()
    host = world.host()
    turns = []
    for moment in (0.0, 0.9 * ROUND_S, 1.5 * ROUND_S, 2 * ROUND_S, 7.7 * ROUND_S):
        world.now = moment
        due = moment + host.due_s()
        assert moment < due <= moment + 2 * ROUND_S
        turns.append(round(due / ROUND_S % 2, 6))
    assert len(set(turns)) == 1
    assert 0 <= turns[0] <= 0.5


async def test_it_runs_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(others=list(EVERYTHING))
    host = world.host()
    monkeypatch.setattr(AutoHost, "due_s", lambda self: 0.001)
    stop = asyncio.Event()
    told: list[Move | Stay] = []

    def tell(decided: Move | Stay) -> None:
        told.append(decided)
        if len(told) == 3:
            stop.set()

    async with asyncio.timeout(5):
        await host.run(stop, tell)
    assert len(told) == 3
    assert len(world.done) == 1
