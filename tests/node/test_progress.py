"""Long steps are told with the time that is left, short ones not at all."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable

import pytest

from node.errors import NodeError
from node.progress import Progress, Stopped, duration, stoppable
from node.status import StatusLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def told(times: list[tuple[float, float]]) -> list[str]:
    """What is written when the clock shows the first of each pair and the second is done."""
    err = Terminal()
    now = 100.0
    progress = Progress(
        StatusLine(as_json=False, out=io.StringIO(), err=err), "quantising", clock=lambda: now
    )
    for elapsed, fraction in times:
        now = 100.0 + elapsed
        progress(fraction)
    return [line.removeprefix("\x1b[K") for line in err.getvalue().split("\r") if line]


def test_what_is_done_soon_is_not_told() -> None:
    assert told([(0.5, 0.3), (1.9, 0.9)]) == []


def test_what_is_left_follows_from_what_was_done() -> None:
    assert told([(5.0, 0.25), (10.0, 0.5)]) == ["quantising, 15 s left  25%", "quantising, 10 s left  50%"]


def test_it_is_told_a_few_times_a_second_at_most() -> None:
    assert len(told([(5.0 + index / 1000, 0.5) for index in range(100)])) == 1


def test_nothing_done_has_no_end() -> None:
    assert told([(5.0, 0.0)]) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.0, "59 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")]
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


async def test_a_step_on_a_thread_tells_how_far_it_is_and_what_came_of_it() -> None:
    told: list[float] = []

    def work(tell: Callable[[float], None]) -> str:
        tell(0.5)
        tell(1.0)
        return threading.current_thread().name

    assert await stoppable(work, told.append) != threading.main_thread().name
    assert told == [0.5, 1.0]
    assert await stoppable(work) != ""


async def test_a_step_that_is_cancelled_ends_on_its_thread_too() -> None:
    begun, ended = threading.Event(), threading.Event()
    why: list[NodeError] = []

    def endless(tell: Callable[[float], None]) -> None:
        try:
            while True:
                begun.set()
                tell(0.5)
        except Stopped as error:
            why.append(error)
            raise
        finally:
            ended.set()

    step = asyncio.create_task(stoppable(endless))
    await asyncio.to_thread(begun.wait, 20)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert await asyncio.to_thread(ended.wait, 20)
    assert len(why) == 1
