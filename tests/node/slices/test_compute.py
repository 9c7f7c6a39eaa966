"""One thread runs everything, in order, and a caller may leave at any time."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.slices.compute import ComputeThread
from node.slices.errors import ComputeStopped


@pytest_asyncio.fixture
async def compute() -> AsyncIterator[ComputeThread]:
    thread = ComputeThread(1)
    thread.start()
    yield thread
    await thread.stop()


async def test_everything_runs_on_one_thread_that_is_not_the_loops(compute: ComputeThread) -> None:
    idents = {await compute.run(threading.get_ident) for _ in range(5)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


async def test_functions_run_in_the_order_they_came(compute: ComputeThread) -> None:
    seen: list[int] = []
    await asyncio.gather(*(compute.run(seen.append, n) for n in range(20)))
    assert seen == list(range(20))


async def test_an_exception_reaches_the_caller_and_the_thread_goes_on(compute: ComputeThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await compute.run(lambda: 1 // 0)
    assert await compute.run(lambda x, y: x + y, 2, y=3) == 5


async def test_a_cancelled_caller_leaves_at_once_and_its_waiting_function_never_runs(
    compute: ComputeThread,
) -> None:
    begun, gate, ran = asyncio.Event(), threading.Event(), list[str]()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert gate.wait(10)
        ran.append("held")

    holder = asyncio.create_task(compute.run(hold))
    async with asyncio.timeout(10):
        await begun.wait()
    waiting = asyncio.create_task(compute.run(ran.append, "waiting"))
    await asyncio.sleep(0)
    assert compute.waiting == 2
    for task in (waiting, holder):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert compute.waiting == 0
    gate.set()
    await compute.run(ran.append, "after")
    assert ran == ["held", "after"]


async def test_stop_waits_for_what_runs_and_drops_what_has_not_begun() -> None:
    compute = ComputeThread(1)
    compute.start()
    compute.start()
    begun, gate, ran = asyncio.Event(), threading.Event(), list[str]()
    loop = asyncio.get_running_loop()

    def hold() -> str:
        loop.call_soon_threadsafe(begun.set)
        assert gate.wait(10)
        return "finished"

    holder = asyncio.create_task(compute.run(hold))
    async with asyncio.timeout(10):
        await begun.wait()
    waiting = asyncio.create_task(compute.run(ran.append, "waiting"))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(compute.stop())
    await asyncio.sleep(0)
    gate.set()
    await stopping
    assert await holder == "finished"
    with pytest.raises(ComputeStopped):
        await waiting
    assert ran == []
    assert not compute.running
    await compute.stop()


async def test_a_thread_that_was_not_started_runs_nothing() -> None:
    with pytest.raises(ComputeStopped):
        await ComputeThread(1).run(threading.get_ident)


async def test_what_nobody_waits_for_any_more_is_not_kept_by_who_waited(compute: ComputeThread) -> None:
    class Large:
        """What a function held when it failed."""

    begun, go_on = threading.Event(), threading.Event()
    made: list[weakref.ref[Large]] = []

    def fail() -> None:
        large = Large()
        made.append(weakref.ref(large))
        begun.set()
        go_on.wait(20)
        raise ValueError("given up")

    waiting = asyncio.create_task(compute.run(fail))
    await asyncio.to_thread(begun.wait, 20)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await waiting
    go_on.set()
    await compute.run(gc.collect)
    await compute.run(gc.collect)
    assert cancelled.value.__traceback__ is not None
    assert made[0]() is None
