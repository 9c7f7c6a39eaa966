"""What could not be loaded is tried again, ever more rarely, and not once somebody took it away."""

from __future__ import annotations

from pathlib import Path

from node.lifecycle.errors import HostStopping, LoadFailed
from node.lifecycle.retrying import FIRST_PAUSE_S, MOST_PAUSE_S, Retrying
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey
from tests.fakes.deadline import until
from tests.fakes.kept_host import HERE, Host, state


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_slice_is_loaded_once_what_it_lacked_is_there(tmp_path: Path) -> None:
    host, clock = Host(tmp_path), Clock()
    async with host.process() as keeper:
        host.hands.failing["load"] = LoadFailed("the hub is away", "look at the network")
        retrying = Retrying(keeper.status, keeper.again, clock=clock)
        try:
            async for _ in keeper.join(HERE):
                pass
        except LoadFailed:
            await retrying.turn()
        clock.now = FIRST_PAUSE_S - 1
        await retrying.turn()
        assert state(keeper, HERE) is State.FAILED
        clock.now = FIRST_PAUSE_S
        await retrying.turn()
        await host.served(HERE)
    async with host.process() as keeper:
        await host.served(HERE)


async def test_pauses_double_up_to_a_bound_and_begin_anew_after_success(tmp_path: Path) -> None:
    host, clock = Host(tmp_path), Clock()
    tried: list[float] = []

    async def again(key: SliceKey) -> None:
        tried.append(clock.now)

    async with host.process() as keeper:
        host.hands.failing["load"] = LoadFailed("the hub is away", "look at the network")
        try:
            async for _ in keeper.join(HERE):
                pass
        except LoadFailed:
            pass
        retrying = Retrying(keeper.status, again, clock=clock)
        while clock.now < 3 * 3600:
            await retrying.turn()
            clock.now += 1
        gaps = [round(after - before) for before, after in zip([0, *tried], tried, strict=False)]
        assert gaps[:4] == [30, 60, 120, 240]
        assert max(gaps) == MOST_PAUSE_S
        await keeper.again(HERE.key)
        await until(lambda: state(keeper, HERE) is State.SERVING)
        await retrying.turn()
        assert not retrying._failing


async def test_a_refusal_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    host, clock = Host(tmp_path), Clock()

    async def refuse(key: SliceKey) -> None:
        raise HostStopping("the host is stopping", "start it again")

    async with host.process() as keeper:
        host.hands.failing["load"] = LoadFailed("the hub is away", "look at the network")
        try:
            async for _ in keeper.join(HERE):
                pass
        except LoadFailed:
            pass
        retrying = Retrying(keeper.status, refuse, clock=clock)
        await retrying.turn()
        clock.now = FIRST_PAUSE_S
        await retrying.turn()
        assert state(keeper, HERE) is State.FAILED
