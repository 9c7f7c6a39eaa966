"""The hours of the day in which a host may serve, as its owner writes them.

    22:00-07:00                        every night
    mon-fri 18:00-23:30, sat+sun 00:00-24:00

A span that ends no later than it begins goes over midnight, and belongs to the day it begins on. Hours are what a clock
on the wall shows: when that is set forward or back for the summer, so are they, and the answer is right in the hour
that is missing or comes twice. All moments are Unix times, so that nothing here depends on how a clock is set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Final, Self

from node.manners.errors import HoursUnreadable

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_SPANS: Final = 32
"""More than anybody's week has; each costs a look at every corner of the days to come."""
MAX_CHARS: Final = 1024
_DAY_MINUTES: Final = 24 * 60
_HORIZON_S: Final = 9 * 86_400
"""A week, and what a clock may be set back by: hours that do not change in it never do."""
_SPAN: Final = re.compile(r"(?:([a-z+\-]+)\s+)?([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")
_EXAMPLE: Final = "write them as `22:00-07:00`, or `mon-fri 18:00-23:30, sat+sun 00:00-24:00`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of time, on some days of the week."""

    days: frozenset[int]
    """The days it begins on, 0 for Monday."""
    start_minute: int
    """After midnight."""
    end_minute: int
    """After midnight, of the next day when it is not after the start; up to 1440, which is the day's end."""

    def covers(self, day: int, minute: int) -> bool:
        """Whether a minute of a day of the week lies in it."""
        if self.start_minute < self.end_minute:
            return day in self.days and self.start_minute <= minute < self.end_minute
        return (day in self.days and minute >= self.start_minute) or (
            (day - 1) % 7 in self.days and minute < self.end_minute
        )

    def __str__(self) -> str:
        days = "" if len(self.days) == 7 else f"{'+'.join(DAYS[one] for one in sorted(self.days))} "
        return f"{days}{_clock(self.start_minute)}-{_clock(self.end_minute)}"


@dataclass(frozen=True)
class Hours:
    """When a host may serve: within any of the spans."""

    spans: tuple[Span, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read hours as a person writes them. Raises `HoursUnreadable`."""
        if len(text) > MAX_CHARS:
            raise HoursUnreadable(f"hours of {len(text)} characters are too many", _EXAMPLE)
        parts = [part.strip().lower() for part in text.split(",")]
        if len(parts) > MAX_SPANS:
            raise HoursUnreadable(f"{len(parts)} spans are more than the {MAX_SPANS} there may be", _EXAMPLE)
        return cls(tuple(_span(part) for part in parts))

    def __str__(self) -> str:
        return ", ".join(str(one) for one in self.spans)

    def allows(self, now: float, zone: tzinfo | None = None) -> bool:
        """Whether a moment lies within the hours.

        Args:
            now: a Unix time.
            zone: whose clocks count; this machine's when None.
        """
        wall = _wall(now, zone)
        minute = wall.hour * 60 + wall.minute
        return any(one.covers(wall.weekday(), minute) for one in self.spans)

    def next_change(self, now: float, zone: tzinfo | None = None) -> float | None:
        """Return the first moment after `now` from which the answer is another one; None when it never is."""
        allowed, at = self.allows(now, zone), now
        while at < now + _HORIZON_S:
            at = self._next_corner(at, zone)
            if self.allows(at, zone) != allowed:
                return at
        return None

    @cached_property
    def _corners(self) -> tuple[int, ...]:
        """Minutes of a day at which the answer may change, its end included."""
        ends = {minute for one in self.spans for minute in (one.start_minute, one.end_minute)}
        return tuple(sorted({*ends, _DAY_MINUTES} - {0}))

    def _next_corner(self, at: float, zone: tzinfo | None) -> float:
        """The next moment at which the wall's clock shows a corner, or is set, if that comes first."""
        whole = int(at // 1)
        wall = _wall(whole, zone)
        second = wall.hour * 3600 + wall.minute * 60 + wall.second
        ahead = next(minute * 60 for minute in self._corners if minute * 60 > second) - second
        offset = wall.utcoffset()
        if _wall(whole + ahead, zone).utcoffset() == offset:
            return float(whole + ahead)
        before, after = whole, whole + ahead
        while after - before > 1:
            middle = (before + after) // 2
            if _wall(middle, zone).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return float(after)


def _wall(at: float, zone: tzinfo | None) -> datetime:
    """What clocks on the wall show at a moment."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=at)).astimezone(zone)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _span(text: str) -> Span:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise HoursUnreadable(f"{text[:40]!r} is no span of hours", _EXAMPLE)
    days, *numbers = found.groups()
    start_hour, start, end_hour, end = (int(one) for one in numbers)
    start_minute, end_minute = start_hour * 60 + start, end_hour * 60 + end
    if start > 59 or end > 59 or start_minute >= _DAY_MINUTES or end_minute > _DAY_MINUTES:
        raise HoursUnreadable(f"{text!r} names a time that no clock shows", _EXAMPLE)
    if start_minute == end_minute:
        raise HoursUnreadable(f"{text!r} ends when it begins", "write 00:00-24:00 for the whole day")
    if end_minute == 0:
        end_minute = _DAY_MINUTES
    return Span(days=_days(days), start_minute=start_minute, end_minute=end_minute)


def _days(text: str | None) -> frozenset[int]:
    """Days of the week: none named are all, `mon-fri` are five, `sat+sun` two; `fri-mon` goes over the weekend."""
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split("+"):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise HoursUnreadable(
                f"{part!r} is no day of the week", f"name days as {', '.join(DAYS)}, or mon-fri, or sat+sun"
            )
        start = DAYS.index(first)
        count = (DAYS.index(last) - start) % 7 + 1 if dash else 1
        days.update((start + one) % 7 for one in range(count))
    return frozenset(days)
