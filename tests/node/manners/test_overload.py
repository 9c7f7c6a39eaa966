from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.manners.overload import LEAST_HINT_MS, MOST_HINT_MS, Forecast


def test_a_place_of_eight_that_last_forty_seconds_frees_every_five() -> None:
    forecast = Forecast()
    for _ in range(20):
        forecast.ended(40.0)
    hints = [forecast.hint_ms(sessions=8, oldest_s=30.0, now=100.0) for _ in range(5)]
    assert hints == pytest.approx([5_000, 10_000, 15_000, 20_000, 25_000], abs=2)


def test_whoever_comes_back_in_time_leaves_the_line() -> None:
    forecast = Forecast()
    for _ in range(20):
        forecast.ended(40.0)
    for _ in range(5):
        forecast.hint_ms(sessions=8, oldest_s=0.0, now=100.0)
    assert forecast.hint_ms(sessions=8, oldest_s=0.0, now=200.0) == 5_000


def test_a_host_that_saw_no_session_end_still_names_a_time() -> None:
    hint = Forecast().hint_ms(sessions=6, oldest_s=0.0, now=0.0)
    assert hint == 5_000


def test_short_sessions_do_not_hide_that_the_open_ones_are_long() -> None:
    forecast = Forecast()
    for _ in range(20):
        forecast.ended(0.1)
    assert forecast.hint_ms(sessions=2, oldest_s=40.0, now=0.0) == 10_000


def test_nobody_is_sent_back_before_a_step_can_be_over() -> None:
    forecast = Forecast()
    for _ in range(5):
        forecast.ended(0.5)
        forecast.stepped(8.0)
    assert forecast.hint_ms(sessions=1, oldest_s=0.0, now=0.0) == 16_000


def test_lately_counts_and_long_ago_does_not() -> None:
    forecast = Forecast()
    for _ in range(200):
        forecast.ended(1000.0)
    for _ in range(64):
        forecast.ended(2.0)
    assert forecast.hint_ms(sessions=2, oldest_s=0.0, now=0.0) == 1_000


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1.0])
def test_what_is_no_duration_is_not_counted(odd: float) -> None:
    forecast = Forecast()
    forecast.ended(odd)
    forecast.stepped(odd)
    assert forecast.hint_ms(sessions=6, oldest_s=0.0, now=0.0) == 5_000


@given(
    st.lists(st.floats(0, 1e6), max_size=100),
    st.lists(st.floats(0, 1e4), max_size=100),
    st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1e6), st.floats(0, 10)), min_size=1, max_size=200),
)
def test_a_hint_is_always_one_to_act_on_and_those_told_together_come_one_by_one(
    lifetimes: list[float], steps: list[float], asks: list[tuple[int, float, float]]
) -> None:
    forecast, now = Forecast(), 0.0
    for one in lifetimes:
        forecast.ended(one)
    for one in steps:
        forecast.stepped(one)
    latest = 0.0
    for sessions, oldest_s, pause in asks:
        now += pause
        hint = forecast.hint_ms(sessions=sessions, oldest_s=oldest_s, now=now)
        assert LEAST_HINT_MS <= hint <= MOST_HINT_MS
        at = now + hint / 1000
        assert at > latest - 0.002 or hint == MOST_HINT_MS
        latest = max(latest, at)
    assert len(forecast._promised) <= 1024
