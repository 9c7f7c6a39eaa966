"""The bars of a storm, and the speed that is read from counts told now and then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.bench.control import Figures
from scripts.bench.control import missed as control_missed
from scripts.bench.overload import Storms, Wedge, missed
from scripts.bench.steady import interpolated
from wire.codes import Code

STORMS = Storms(
    refusals=80,
    p50_ms=5.0,
    p99_ms=20.0,
    most_ms=30.0,
    codes={Code.TOO_MANY_SESSIONS.text: 80},
    without_hint=0,
    calm_tokens_per_s=100.0,
    storm_tokens_per_s=95.0,
    loss=0.05,
    answers=9,
    wrong=(),
    failed=(),
)
WEDGE = Wedge(asked=10_000, let_go_s=6.0, peak_growth_bytes=1 << 20, kept_bytes=0, left=())
FIGURES = Figures(
    idle_p50_ms=1.0,
    p50_ms=2.0,
    p99_ms=15.0,
    most_ms=40.0,
    prompts_read=10,
    malformed=1000,
    answered=1000,
    malformed_s=1.0,
    kept_bytes=0,
    left=(),
    wrong=(),
    failed=(),
)


@pytest.mark.parametrize(
    ("storms", "wedge"),
    [
        (replace(STORMS, most_ms=51.0), WEDGE),
        (replace(STORMS, codes={Code.TOO_MANY_SESSIONS.text: 79, "not refused": 1}), WEDGE),
        (replace(STORMS, without_hint=1), WEDGE),
        (replace(STORMS, loss=0.11), WEDGE),
        (replace(STORMS, wrong=("one",)), WEDGE),
        (replace(STORMS, failed=("one",)), WEDGE),
        (replace(STORMS, answers=0), WEDGE),
        (STORMS, replace(WEDGE, let_go_s=None, left=("3 links where there were 2",))),
        (STORMS, replace(WEDGE, peak_growth_bytes=100 << 20)),
    ],
)
def test_each_bar_of_a_storm_can_be_missed(storms: Storms, wedge: Wedge) -> None:
    assert missed(STORMS, WEDGE) == []
    assert len(missed(storms, wedge)) == 1


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, p99_ms=21.0),
        replace(FIGURES, answered=999),
        replace(FIGURES, left=("21 files where there were 20",)),
        replace(FIGURES, kept_bytes=9 << 20),
        replace(FIGURES, wrong=("one",)),
        replace(FIGURES, failed=("one",)),
        replace(FIGURES, prompts_read=0),
    ],
)
def test_each_bar_of_control_can_be_missed(figures: Figures) -> None:
    assert control_missed(FIGURES) == []
    assert len(control_missed(figures)) == 1


def test_a_count_is_read_between_the_moments_it_was_told_at() -> None:
    times, counts = [1.0, 2.0, 4.0], [0, 10, 50]
    assert interpolated(times, counts, 1.5) == 5.0
    assert interpolated(times, counts, 3.0) == 30.0
    assert interpolated(times, counts, 2.0) == 10.0
    assert (interpolated(times, counts, 0.0), interpolated(times, counts, 9.0)) == (0.0, 50.0)
    assert interpolated([], [], 1.0) == 0.0
