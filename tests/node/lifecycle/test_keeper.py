"""All slices of a process: several at once, each by itself, on a disk that is waited for."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from node.errors import NodeError
from node.lifecycle import keeper as module
from node.lifecycle import saving
from node.lifecycle.attendant import Attendant
from node.lifecycle.errors import (
    HostStopping,
    IntentsUnwritable,
    LoadFailed,
    NotHeld,
    OutOfBounds,
    Overtaken,
    StillDraining,
    TooMany,
)
from node.lifecycle.following import SliceStatus
from node.lifecycle.happenings import Loaded
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import MAX_GRACE_S, MAX_SLICES, Keeper
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.deadline import until
from tests.fakes.kept_host import GRACE_S, HERE, THERE, Host, joined, state
from tests.fakes.slice_hands import HeldSlice
from wire.codes import Code


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_a_slice_is_joined_with_progress_while_another_serves_and_is_there_after_a_start(
    host: Host,
) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        gate = host.hands.shut("load")
        told: list[SliceStatus] = []
        async for status in keeper.join(THERE):
            told.append(status)
            if status.fraction == 0.5:
                assert host.hands.announced() == {HERE.key}
                gate.set()
        assert {one.state for one in told[:-1]} == {State.LOADING}
        assert told[-1].state is State.SERVING
    async with host.process(HERE):
        await host.served(HERE, THERE)


async def test_joining_what_serves_is_answered_at_once(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        assert await joined(keeper, HERE) == [State.SERVING]


async def test_a_slice_that_fails_to_load_says_why_and_leaves_the_others_alone(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        host.hands.failing["load"] = NodeError("the hub is away", "try again later")
        with pytest.raises(LoadFailed, match="the hub is away; try again later"):
            await joined(keeper, THERE)
        assert host.hands.announced() == {HERE.key}
        assert state(keeper, THERE) is State.FAILED
        assert await joined(keeper, THERE) == [State.LOADING, State.SERVING]


async def test_who_stops_watching_a_join_does_not_stop_it(host: Host) -> None:
    async with host.process() as keeper:
        async with aclosing(keeper.join(HERE)) as statuses:
            async for _ in statuses:
                break
        await host.served(HERE)


async def test_a_join_that_is_overtaken_says_by_what(host: Host) -> None:
    async with host.process() as keeper:
        host.hands.shut("load")
        joining = asyncio.create_task(joined(keeper, HERE))
        await until(lambda: host.hands.waiting == ["load"])
        await keeper.leave(HERE.key, GRACE_S)
        with pytest.raises(Overtaken, match="left"):
            await joining
        assert host.hands.memory == set()


async def test_draining_one_slice_refuses_its_sessions_and_touches_no_other(host: Host) -> None:
    async with host.process(HERE, THERE) as keeper:
        await host.served(HERE, THERE)
        here, there = (host.hands.of(one.key) for one in (HERE, THERE))
        here.sessions, there.sessions = 2, 3
        await keeper.drain(HERE.key, 0.0)
        assert host.hands.announced() == {THERE.key}
        statuses = [one.state async for one in keeper.watch(HERE.key)]
        assert statuses[-1] is State.STOPPED
        assert here.ended_with is here.refuses is Code.DRAINING
        assert (there.sessions, there.ended_with) == (3, None)
        there.sessions = 0


async def test_sessions_that_end_within_the_grace_are_not_cut_off(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        here = host.hands.of(HERE.key)
        here.sessions = 1
        await keeper.drain(HERE.key, GRACE_S)
        (status,) = keeper.status()
        assert status.sessions == 1 and status.until is not None
        assert status.grace_left_s is not None and 290 < status.grace_left_s <= 300
        here.sessions = 0
        await until(lambda: state(keeper, HERE) is State.STOPPED)
        assert here.ended_with is None
        assert await keeper.stop(0.0) == 0


async def test_what_was_drained_stays_so_in_every_later_process_until_it_is_undrained(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        host.hands.of(HERE.key).sessions = 1
        await keeper.drain(HERE.key, GRACE_S)
    for _ in range(2):
        async with host.process(HERE) as keeper:
            assert state(keeper, HERE) is State.STOPPED
            with pytest.raises(StillDraining):
                await joined(keeper, HERE)
            await keeper.settled()
            assert host.hands.memory == set()
    async with host.process(HERE) as keeper:
        await keeper.undrain(HERE.key)
        await host.served(HERE)
    async with host.process(HERE):
        await host.served(HERE)


async def test_what_was_left_stays_left_though_it_is_configured_and_can_be_joined_again(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        await keeper.leave(HERE.key, 0.0)
        await until(lambda: keeper.status() == ())
        with pytest.raises(NotHeld):
            await keeper.leave(HERE.key, GRACE_S)
    async with host.process(HERE) as keeper:
        assert keeper.status() == ()
        assert await joined(keeper, HERE) == [State.LOADING, State.SERVING]
    async with host.process(HERE):
        await host.served(HERE)


async def test_leaving_forgets_what_no_configuration_names(host: Host) -> None:
    async with host.process() as keeper:
        await joined(keeper, HERE)
        await keeper.leave(HERE.key, GRACE_S)
        assert IntentFile(host.path).load() == ()


async def test_all_slices_are_drained_and_undrained_together(host: Host) -> None:
    async with host.process(HERE, THERE) as keeper:
        await host.served(HERE, THERE)
        await keeper.drain(None, GRACE_S)
        await until(lambda: {one.state for one in keeper.status()} == {State.STOPPED})
        await keeper.undrain(None)
        await host.served(HERE, THERE)


async def test_a_person_and_the_machine_pause_apart_and_only_the_person_for_good(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        await keeper.hold_back(True)
        here = host.hands.of(HERE.key)
        assert here.refuses is Code.DRAINING
        assert await joined(keeper, THERE) == [State.LOADING, State.SERVING]
        assert [one.word for one in keeper.status()] == ["paused", "paused"]
        await keeper.pause(HERE.key)
        await keeper.hold_back(False)
        assert host.hands.announced() == {THERE.key}
        assert here in host.hands.memory
    async with host.process(HERE) as keeper:
        await keeper.settled()
        assert host.hands.announced() == {THERE.key}
        await keeper.resume(None)
        await host.served(HERE, THERE)


async def test_a_stop_lets_sessions_end_within_its_budget_and_is_no_leaving(host: Host) -> None:
    async with host.process(HERE, THERE) as keeper:
        await host.served(HERE, THERE)
        here, there = (host.hands.of(one.key) for one in (HERE, THERE))
        here.sessions, there.sessions = 1, 2
        stopping = asyncio.create_task(keeper.stop(0.3))
        await until(lambda: host.hands.announced() == set())
        assert state(keeper, HERE) is State.CLOSING
        with pytest.raises(HostStopping):
            await keeper.undrain(HERE.key)
        with pytest.raises(HostStopping):
            await joined(keeper, HERE)
        here.sessions = 0
        assert await stopping == 2
        assert (here.ended_with, there.ended_with) == (None, Code.SHUTTING_DOWN)
        assert host.hands.memory == set()
    async with host.process(HERE, THERE):
        await host.served(HERE, THERE)


async def test_a_second_signal_stops_now(host: Host) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        host.hands.of(HERE.key).sessions = 4
        stopping = asyncio.create_task(keeper.stop(3600.0))
        await until(lambda: state(keeper, HERE) is State.CLOSING)
        keeper.now()
        async with asyncio.timeout(5):
            assert await stopping == 4


@pytest.mark.parametrize("budget_s", [0.0, 3600.0])
async def test_a_slice_that_cannot_be_freed_holds_a_stop_up_no_longer_than_a_bound(
    host: Host, monkeypatch: pytest.MonkeyPatch, budget_s: float
) -> None:
    monkeypatch.setattr(module, "FREE_TIMEOUT_S", 0.05)
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        gate = host.hands.shut("unload")
        stopping = asyncio.create_task(keeper.stop(budget_s))
        await until(lambda: host.hands.waiting == ["unload"])
        keeper.now()
        async with asyncio.timeout(5):
            await stopping
        gate.set()


async def test_a_disk_that_takes_nothing_leaves_everything_as_it_was(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(IntentsUnwritable, match="No space left"):
                await keeper.drain(HERE.key, GRACE_S)
            with pytest.raises(IntentsUnwritable):
                await joined(keeper, THERE)
        assert host.hands.announced() == {HERE.key}
        await until(lambda: [one.wish for one in keeper.status()] == [HERE])
        await keeper.drain(HERE.key, GRACE_S)


async def test_a_disk_that_hangs_acknowledges_nothing_and_is_written_in_order_once_it_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, goes_on = os.fsync, threading.Event()

    def hangs(descriptor: int) -> None:
        assert goes_on.wait(20)
        flush(descriptor)

    async with host.process(HERE) as keeper:
        await host.served(HERE)
        monkeypatch.setattr(os, "fsync", hangs)
        monkeypatch.setattr(saving, "SAVE_TIMEOUT_S", 0.05)
        with pytest.raises(IntentsUnwritable, match="has not taken"):
            await keeper.drain(HERE.key, GRACE_S)
        assert host.hands.announced() == {HERE.key}
        monkeypatch.setattr(saving, "SAVE_TIMEOUT_S", 20.0)
        undrained = asyncio.create_task(keeper.undrain(HERE.key))
        await asyncio.sleep(0.05)
        goes_on.set()
        await undrained
    async with host.process(HERE):
        await host.served(HERE)


async def test_a_damaged_file_drains_everything_and_the_next_process_remembers_that(host: Host) -> None:
    host.path.write_text('{"version": 1, "slices": [{"model": "pock')
    async with Keeper(host.hands, IntentFile(host.path)) as keeper:
        found = await keeper.recover([HERE, THERE])
        assert (found.load, found.drained) == ((), (HERE, THERE))
        assert found.trouble is not None and "counts as drained" in found.trouble.next_step
        await keeper.undrain(THERE.key)
        await host.served(THERE)
    async with host.process(HERE, THERE):
        await host.served(THERE)
    assert host.path.with_name("intents.json.damaged").read_text().endswith("pock")


@pytest.mark.parametrize("grace_s", [-1.0, MAX_GRACE_S + 1, float("nan"), float("inf")])
async def test_a_grace_that_cannot_be_is_refused(host: Host, grace_s: float) -> None:
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        with pytest.raises(OutOfBounds):
            await keeper.drain(HERE.key, grace_s)
        with pytest.raises(OutOfBounds):
            await keeper.leave(HERE.key, grace_s)
        assert host.hands.announced() == {HERE.key}


async def test_slices_are_bounded(host: Host) -> None:
    many = [Wish(key=SliceKey(f"model {number}", None)) for number in range(MAX_SLICES + 1)]
    async with host.process(*many[:-1]) as keeper:
        await host.served(*many[:-1])
        with pytest.raises(TooMany, match=str(MAX_SLICES)):
            await joined(keeper, many[-1])
        await keeper.leave(many[0].key, 0.0)
        await until(lambda: len(keeper.status()) < MAX_SLICES)
        await joined(keeper, many[-1])
    async with Keeper(host.hands, IntentFile(host.path)) as keeper:
        with pytest.raises(TooMany):
            await keeper.recover(many)


async def test_a_defect_in_one_slice_ends_that_slice_alone(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.process(HERE, THERE) as keeper:
        await host.served(HERE, THERE)
        one: Attendant[HeldSlice] = keeper._attendants[HERE.key]
        async with aclosing(keeper.follow()) as news:
            async for status in news:
                if status.wish == HERE and status.state is State.FAILED:
                    break
                one.post(Loaded())
        assert "ended by a defect" in caplog.text
        assert host.hands.announced() == {THERE.key}
        assert await joined(keeper, HERE) == [State.LOADING, State.SERVING]


async def test_joining_in_the_moment_in_which_a_slice_is_left_loses_nothing(host: Host) -> None:
    async with host.process() as keeper:
        for _ in range(30):
            await joined(keeper, HERE)
            await keeper.leave(HERE.key, 0.0)
            async for _ in keeper.watch(HERE.key):
                pass
            async with asyncio.timeout(5):
                await joined(keeper, HERE)
            await host.served(HERE)


async def test_an_error_of_the_body_comes_out_as_it_is(host: Host) -> None:
    with pytest.raises(NodeError, match="no port"):
        async with host.process(HERE):
            raise NodeError("no port is free", "choose another")


@pytest.mark.parametrize("place", ["load", "abort", "unload", "nowhere"])
async def test_a_process_that_is_cancelled_anywhere_leaves_no_memory_and_a_file_to_start_from(
    host: Host, place: str
) -> None:
    ready = asyncio.Event()

    async def process() -> None:
        async with host.process(HERE, THERE) as keeper:
            if place == "load":
                host.hands.shut("load")
            else:
                await host.served(HERE, THERE)
                host.hands.of(HERE.key).sessions = 1
                if place != "nowhere":
                    host.hands.shut(place)
                await keeper.drain(HERE.key, 0.0)
            ready.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(process())
    await ready.wait()
    if place != "nowhere":
        await until(lambda: place in host.hands.waiting)
    task.cancel()
    await asyncio.sleep(0.02)
    for gate in host.hands.gates.values():
        gate.set()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    async with host.process(HERE, THERE):
        await host.served(*((HERE, THERE) if place == "load" else (THERE,)))
