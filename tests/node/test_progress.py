"""Long steps are told with the time that is left, short ones not at all."""

from __future__ import annotations

import io

import pytest

from node.progress import Progress, duration
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
