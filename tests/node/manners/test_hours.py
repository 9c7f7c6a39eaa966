"""Hours as people write them, on clocks that are set twice a year."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.manners.errors import HoursUnreadable
from node.manners.hours import DAYS, MAX_SPANS, Hours, Span

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(one)
    for one in ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns")
]


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("hours", "moment", "allowed"),
    [
        ("09:00-17:00", "2026-03-04T09:00", True),
        ("09:00-17:00", "2026-03-04T08:59:59", False),
        ("09:00-17:00", "2026-03-04T16:59:59", True),
        ("09:00-17:00", "2026-03-04T17:00", False),
        ("22:00-07:00", "2026-03-04T23:30", True),
        ("22:00-07:00", "2026-03-04T06:59", True),
        ("22:00-07:00", "2026-03-04T12:00", False),
        ("00:00-24:00", "2026-03-04T12:00", True),
        ("18:00-00:00", "2026-03-04T23:59", True),
        ("18:00-0:00", "2026-03-04T00:00", False),
        ("mon-fri 09:00-17:00", "2026-03-06T12:00", True),
        ("mon-fri 09:00-17:00", "2026-03-07T12:00", False),
        ("sat+sun 00:00-24:00", "2026-03-07T12:00", True),
        ("fri 22:00-07:00", "2026-03-07T06:00", True),
        ("fri 22:00-07:00", "2026-03-06T06:00", False),
        ("sun 22:00-07:00", "2026-03-09T06:00", True),
        ("fri-mon 10:00-11:00", "2026-03-09T10:30", True),
        ("fri-mon 10:00-11:00", "2026-03-10T10:30", False),
        ("01:00-02:00, 05:00-06:00", "2026-03-04T05:30", True),
        ("01:00-02:00, 05:00-06:00", "2026-03-04T03:30", False),
        ("  MON 9:00 - 10:00 ", "2026-03-09T09:30", True),
    ],
)
def test_hours_are_what_the_clock_on_the_wall_shows(hours: str, moment: str, allowed: bool) -> None:
    assert Hours.parse(hours).allows(at(moment), BERLIN) is allowed


@pytest.mark.parametrize(
    "text",
    ["", ",", "9-17", "25:00-26:00", "10:60-11:00", "24:00-01:00", "10:00-24:01", "someday 10:00-11:00",
     "mon-xyz 10:00-11:00", "mon- 10:00-11:00", "10:00-10:00", "10:00-11:00,", "10:00-11:00; 12:00-13:00",
     "１０:00-11:00 x", "a" * 5000, ",".join(["10:00-11:00"] * (MAX_SPANS + 1))],
)  # fmt: skip
def test_what_is_no_hours_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(HoursUnreadable) as caught:
        Hours.parse(text)
    assert len(str(caught.value)) < 300
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("hours", "now", "change"),
    [
        ("09:00-17:00", "2026-03-04T08:00", "2026-03-04T09:00"),
        ("09:00-17:00", "2026-03-04T09:00", "2026-03-04T17:00"),
        ("09:00-17:00", "2026-03-04T17:00", "2026-03-05T09:00"),
        ("22:00-07:00", "2026-03-04T23:00", "2026-03-05T07:00"),
        ("mon 09:00-10:00", "2026-03-09T10:00", "2026-03-16T09:00"),
        # Two spans that touch are one.
        ("09:00-12:00, 12:00-17:00", "2026-03-04T10:00", "2026-03-04T17:00"),
        # 29 March 2026: at 2:00 the clock is set to 3:00.
        ("02:30-04:00", "2026-03-29T01:00", "2026-03-29T03:00"),
        ("01:00-02:30", "2026-03-29T01:30", "2026-03-29T03:00"),
        ("22:00-07:00", "2026-03-28T23:00", "2026-03-29T07:00"),
    ],
)
def test_the_next_change_is_the_first_moment_of_the_other_answer(hours: str, now: str, change: str) -> None:
    assert Hours.parse(hours).next_change(at(now), BERLIN) == at(change)


def test_an_hour_that_comes_twice_counts_twice() -> None:
    # 25 October 2026: at 3:00 the clock is set back to 2:00.
    hours = Hours.parse("02:30-03:30")
    first, second = at("2026-10-25T02:30"), at("2026-10-25T02:30", fold=1)
    assert second - first == 3600
    assert hours.next_change(at("2026-10-25T01:00"), BERLIN) == first
    assert hours.next_change(first, BERLIN) == at("2026-10-25T02:00", fold=1)
    assert hours.next_change(at("2026-10-25T02:00", fold=1), BERLIN) == second
    assert hours.next_change(second, BERLIN) == at("2026-10-25T03:30")


@pytest.mark.parametrize("hours", ["00:00-24:00", "00:00-12:00, 12:00-24:00"])
def test_hours_that_are_always_never_change(hours: str) -> None:
    assert Hours.parse(hours).next_change(at("2026-03-28T10:00"), BERLIN) is None


def test_without_a_zone_the_clock_of_this_machine_counts() -> None:
    now = at("2026-03-04T12:00")
    wall = datetime.fromtimestamp(now).astimezone()
    hours = Hours.parse(f"{wall.hour:02d}:00-{wall.hour:02d}:59")
    assert hours.allows(now)
    assert not hours.allows(now + 2 * 3600)
    assert hours.next_change(now) is not None


minutes = st.integers(0, 1439)
spans = st.builds(
    lambda days, start, length: Span(
        days=days, start_minute=start, end_minute=(start + length - 1) % 1440 + 1
    ),
    st.frozensets(st.integers(0, 6), min_size=1),
    minutes,
    st.integers(1, 1439),
)
weeks = st.builds(lambda found: Hours(tuple(found)), st.lists(spans, min_size=1, max_size=4))


@given(weeks)
def test_hours_are_read_back_as_they_were_written(hours: Hours) -> None:
    assert Hours.parse(str(hours)) == hours


@settings(max_examples=40)
@given(
    weeks,
    st.sampled_from(ZONES),
    st.sampled_from(["2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-11-01", "2026-06-01"]),
    st.integers(0, 86_400),
)
def test_between_now_and_the_next_change_nothing_changes(
    hours: Hours, zone: ZoneInfo, day: str, second: int
) -> None:
    now = at(day, zone) + second
    change = hours.next_change(now, zone)
    end = change if change is not None else now + 9 * 86_400
    allowed = hours.allows(now, zone)
    step = 60.0
    moment = now - now % step + step
    while moment < min(end, now + 3 * 86_400):
        assert hours.allows(moment, zone) is allowed
        moment += step
    if change is not None:
        assert change > now
        assert hours.allows(change - 1, zone) is allowed or change - 1 <= now
        assert hours.allows(change, zone) is not allowed


@given(st.text(max_size=60) | st.text("0123456789:- ,+montue", max_size=60))
def test_no_text_does_anything_but_be_hours_or_be_refused(text: str) -> None:
    try:
        hours = Hours.parse(text)
    except HoursUnreadable:
        return
    assert Hours.parse(str(hours)) == hours
    assert all(one.days <= set(range(len(DAYS))) for one in hours.spans)
