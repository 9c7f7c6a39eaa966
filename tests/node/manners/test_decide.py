"""Whether to serve: by terms and readings, and never to and fro."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.manners.busy import Load
from node.manners.decide import (
    BUSY_FOR_S,
    CALM_FOR_S,
    PLUGGED_FOR_S,
    UNPLUGGED_FOR_S,
    Readings,
    Remembered,
    Verdict,
    decide,
)
from node.manners.hours import Hours
from node.manners.power import Power
from node.manners.terms import MannersTerms

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 4, 12, tzinfo=BERLIN).timestamp()
BATTERY = MannersTerms(pause_on_battery=True)
BUSY = MannersTerms(busy_above=0.5)


class Host:
    """Decides again and again, as time goes on."""

    def __init__(self, terms: MannersTerms, now: float = NOON) -> None:
        self.terms, self.now, self.began = terms, now, now
        self.remembered = Remembered()
        self.changes: list[float] = []
        self.verdict = Verdict()

    def after(self, seconds: float, *, battery: bool | None = None, load: float | None = None) -> Verdict:
        self.now += seconds
        readings = Readings(
            now=self.now,
            at_s=self.now - self.began,
            power=None if battery is None else Power(on_battery=battery, percent=40),
            load=None if load is None else Load(used=load, waited=0),
        )
        before = self.verdict
        self.verdict, self.remembered = decide(self.terms, readings, self.remembered, zone=BERLIN)
        if before.pause != self.verdict.pause:
            self.changes.append(self.now - self.began)
        return self.verdict


def test_without_terms_nothing_is_a_reason() -> None:
    assert Host(MannersTerms()).after(0, battery=True, load=1.0) == Verdict()


def test_outside_its_hours_a_host_pauses_and_says_until_when() -> None:
    host = Host(MannersTerms(hours=Hours.parse("22:00-07:00")))
    verdict = host.after(0)
    assert verdict.pause
    assert verdict.until == NOON + 10 * 3600
    assert verdict.reason == "paused: it is outside the hours it may serve (22:00-07:00) until Wed 22:00"
    assert host.after(10 * 3600) == Verdict()


def test_hours_that_never_come_again_have_no_end() -> None:
    host = Host(MannersTerms(hours=Hours(())))
    assert host.after(0).pause
    assert host.verdict.until is None


def test_a_host_that_is_started_on_battery_does_not_begin_by_serving() -> None:
    verdict = Host(BATTERY).after(0, battery=True)
    assert (verdict.pause, verdict.until) == (True, None)
    assert verdict.reason == "paused: this machine runs on its battery, at 40 %"


def test_a_plug_that_is_moved_is_no_reason() -> None:
    host = Host(BATTERY)
    host.after(0, battery=False)
    assert not host.after(5, battery=True).pause
    assert not host.after(UNPLUGGED_FOR_S - 1, battery=True).pause
    assert not host.after(5, battery=False).pause
    assert not host.after(5, battery=True).pause
    assert host.after(UNPLUGGED_FOR_S, battery=True).pause
    assert host.after(5, battery=False).pause
    assert host.after(PLUGGED_FOR_S - 1, battery=False).pause
    assert not host.after(1, battery=False).pause


def test_others_must_be_busy_for_a_while_and_calm_for_longer() -> None:
    host = Host(BUSY)
    host.after(0, load=0.1)
    assert not host.after(5, load=0.9).pause
    assert host.after(BUSY_FOR_S, load=0.9).pause
    assert "90% of it" in host.verdict.reason
    host.after(5, load=0.4)
    for _ in range(20):
        assert host.after(5, load=0.4).pause, "below what is busy, yet not calm"
    host.after(5, load=0.2)
    assert host.after(CALM_FOR_S - 1, load=0.2).pause
    assert not host.after(1, load=0.2).pause


@pytest.mark.parametrize("terms", [BATTERY, BUSY])
def test_what_cannot_be_read_is_no_reason(terms: MannersTerms) -> None:
    host = Host(terms)
    assert not host.after(0).pause
    assert host.after(5, battery=True, load=1.0).pause
    host.after(5)
    assert not host.after(CALM_FOR_S).pause


def test_with_several_reasons_all_are_told_and_none_is_the_end() -> None:
    host = Host(MannersTerms(hours=Hours.parse("22:00-07:00"), pause_on_battery=True, busy_above=0.5))
    verdict = host.after(0, battery=True, load=0.9)
    assert verdict.until is None
    assert verdict.reason.count(";") == 2


@given(st.lists(st.tuples(st.floats(1, 30), st.booleans(), st.floats(0, 1)), max_size=80))
def test_a_host_never_changes_its_mind_twice_within_the_least_time(
    steps: list[tuple[float, bool, float]],
) -> None:
    for terms, least_s in ((BATTERY, UNPLUGGED_FOR_S), (BUSY, BUSY_FOR_S)):
        host = Host(terms)
        host.after(0, battery=False, load=0.0)
        for pause, battery, load in steps:
            host.after(pause, battery=battery, load=load)
        apart = [later - earlier for earlier, later in zip(host.changes, host.changes[1:], strict=False)]
        assert all(one >= least_s - 1e-6 for one in apart)


@given(st.lists(st.floats(1, 30), min_size=1, max_size=60))
def test_a_load_that_swings_around_the_threshold_changes_nothing_twice(steps: list[float]) -> None:
    host = Host(BUSY)
    for index, pause in enumerate(steps):
        host.after(pause, load=0.45 if index % 2 else 0.55)
    assert len(host.changes) <= 1
