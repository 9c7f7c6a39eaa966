"""A compute thread that does not come back is told of; one that loads, or was stopped with the process, is not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from node.sight.watch import TURN_S, Compute, Patience, Watch
from node.slices.compute import ComputeThread
from tests.fakes.deadline import until

Done = Callable[[Any, BaseException | None], None]
PATIENCE = Patience(stuck_s=10.0, loading_s=100.0, late_s=5.0, late_turns=3, ask_every_s=5.0)


class Hands:
    """A compute thread that answers when told to."""

    def __init__(self) -> None:
        self.running = True
        self.asked: list[Done] = []

    def submit(self, fn: Callable[[], Any], done: Done) -> object:
        self.asked.append(done)
        return None

    def answer(self, error: BaseException | None = None) -> None:
        self.asked.pop(0)(None, error)


class Turns:
    """A watch on a clock of its own."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.hands = Hands()
        self.now = 1_000.0
        self.loading = False
        self.watch = Watch(
            self.hands, loading=lambda: self.loading, patience=patience, clock=lambda: self.now
        )

    def pass_by(self, turns: int = 1, *, each_s: float = TURN_S) -> None:
        for _ in range(turns):
            before, self.now = self.now, self.now + each_s
            self.watch.turn(before, self.now)


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_a_thread_that_answers_is_well_and_is_asked_every_few_seconds(turns: Turns) -> None:
    for _ in range(20):
        turns.pass_by()
        if turns.hands.asked:
            turns.now += 0.25
            turns.hands.answer()
    assert turns.watch.healthy() is None
    assert turns.watch.pulse.compute_wait.count == 4
    assert turns.watch.pulse.compute_wait.sum == pytest.approx(1.0)


def test_a_thread_that_does_not_come_back_is_told_of_until_it_does(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    turns.pass_by(11)
    assert turns.watch.healthy() is None
    turns.pass_by(1)
    assert turns.watch.healthy() == "the compute thread has not come back for 11 s"
    assert turns.watch.pulse.healthy is False
    turns.pass_by(5)
    assert len(turns.hands.asked) == 1, "a stuck thread is not given more to do"
    turns.hands.answer()
    assert turns.watch.healthy() is None
    turns.pass_by(1)
    assert bool(turns.watch.pulse.healthy)
    assert [one.levelno for one in caplog.records] == [logging.ERROR, logging.WARNING]


def test_loading_may_take_longer_and_what_it_took_is_forgotten_after_it(turns: Turns) -> None:
    turns.loading = True
    turns.pass_by(90)
    assert turns.watch.healthy() is None
    turns.loading = False
    turns.pass_by(9)
    assert turns.watch.healthy() is None, "the answer is on its way"
    turns.pass_by(3)
    assert turns.watch.healthy() is not None


def test_loading_that_never_ends_is_told_of(turns: Turns) -> None:
    turns.loading = True
    turns.pass_by(102)
    assert turns.watch.healthy() == "the compute thread has not come back for 101 s"


def test_a_process_that_was_stopped_for_an_hour_is_not_stuck(turns: Turns) -> None:
    turns.pass_by(3)
    turns.pass_by(1, each_s=3600.0)
    assert turns.watch.healthy() is None
    turns.hands.answer()
    turns.pass_by(1)
    assert turns.watch.healthy() is None


def test_a_loop_that_is_late_again_and_again_is_told_of_but_not_once(turns: Turns) -> None:
    turns.hands.running = False
    turns.pass_by(2, each_s=TURN_S + 6.0)
    assert turns.watch.healthy() is None
    turns.pass_by(1, each_s=TURN_S + 7.0)
    assert turns.watch.healthy() == "the event loop is late, by 7.0 s"
    turns.pass_by(1)
    assert turns.watch.healthy() is None
    assert turns.watch.pulse.loop_lag.count == 4
    assert turns.watch.pulse.loop_lag.sum == pytest.approx(19.0)


def test_a_thread_that_is_stopped_is_not_asked_and_not_missed(turns: Turns) -> None:
    turns.pass_by(2)
    turns.hands.running = False
    turns.pass_by(30)
    assert turns.watch.healthy() is None
    turns.hands.running = True
    turns.pass_by(1)
    assert turns.watch.healthy() is None
    # The answer to what was asked of the thread before is no answer to what is asked of the one now.
    turns.pass_by(5)
    assert len(turns.hands.asked) == 2
    turns.hands.answer()
    turns.pass_by(11)
    assert turns.watch.healthy() is not None


def test_a_job_that_was_dropped_is_an_answer_but_no_measurement(turns: Turns) -> None:
    turns.pass_by(1)
    turns.hands.answer(RuntimeError("stopped"))
    turns.pass_by(4)
    assert turns.watch.healthy() is None
    assert turns.watch.pulse.compute_wait.count == 0


async def test_a_real_loop_and_a_real_compute_thread_are_watched() -> None:
    thread = ComputeThread(1)
    thread.start()
    compute: Compute = thread
    block = threading.Event()
    watch = Watch(compute, patience=Patience(stuck_s=0.0, ask_every_s=0.5))
    running = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.pulse.compute_wait.count >= 1)
        blocked = asyncio.create_task(thread.run(block.wait))
        await until(lambda: watch.healthy() is not None)
        assert "compute thread" in (watch.healthy() or "")
        block.set()
        await blocked
        await until(lambda: watch.healthy() is None)
        late = watch.pulse.loop_lag.sum
        time.sleep(1.5)  # noqa: ASYNC251 - this is what is to be noticed
        await until(lambda: watch.pulse.loop_lag.sum > late + 0.4)
    finally:
        block.set()
        running.cancel()
        await asyncio.wait([running])
        await thread.stop()
