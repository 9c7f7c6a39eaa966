"""Whether a host may serve now, and why not: a function of the owner's terms, of readings, and of what was said before.

What comes and goes must last before it counts, and it counts for longer than it lasted: a host that pauses and resumes
every few seconds serves nobody, and each time its record has to be withdrawn and announced. The first reading of all
counts at once, so that a host that is started on battery does not begin by serving. Hours are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from node.manners.busy import Load
from node.manners.power import Power
from node.manners.terms import MannersTerms

UNPLUGGED_FOR_S: Final = 10.0
"""On battery this long before the host pauses: a plug is moved in less."""
PLUGGED_FOR_S: Final = 60.0
"""On mains this long before it serves again."""
BUSY_FOR_S: Final = 15.0
"""Others busy this long before it pauses: starting a program is over by then."""
CALM_FOR_S: Final = 60.0
"""Others calm this long before it serves again."""
CALM_SHARE: Final = 0.7
"""Calm is below this share of what is busy, so that a load at the threshold does not count as both in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What is known at one moment. What could not be read is None, and never a reason to pause."""

    now: float
    """Unix time, for the hours."""
    at_s: float
    """Seconds, of a clock that nobody sets."""
    power: Power | None = None
    load: Load | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to serve."""

    pause: bool = False
    reason: str = ""
    """Why not, in one sentence for the owner; empty when it may."""
    until: float | None = None
    """The Unix time at which the reason ends by itself; None when nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """A sign that counts or does not, and since when it has looked otherwise."""

    counts: bool = False
    otherwise_since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a decision leaves for the next one. None where nothing was read yet."""

    battery: Latch | None = None
    busy: Latch | None = None


def decide(
    terms: MannersTerms, readings: Readings, before: Remembered, *, zone: tzinfo | None = None
) -> tuple[Verdict, Remembered]:
    """Return whether a host may serve, and what to hand in the next time.

    Args:
        before: of the decision before; an empty one at first, and after terms have changed.
        zone: whose hours count; this machine's when None.
    """
    battery = busy = None
    if terms.pause_on_battery:
        on_battery = None if readings.power is None else readings.power.on_battery
        battery = settle(
            before.battery, on_battery, readings.at_s, rises_s=UNPLUGGED_FOR_S, falls_s=PLUGGED_FOR_S
        )
    if terms.busy_above is not None:
        worst = None if readings.load is None else readings.load.worst
        was_busy = before.busy is not None and before.busy.counts
        threshold = terms.busy_above * (CALM_SHARE if was_busy else 1.0)
        looks_busy = None if worst is None else worst > threshold
        busy = settle(before.busy, looks_busy, readings.at_s, rises_s=BUSY_FOR_S, falls_s=CALM_FOR_S)
    return _verdict(terms, readings, battery, busy, zone), Remembered(battery=battery, busy=busy)


def settle(
    before: Latch | None, looks: bool | None, at_s: float, *, rises_s: float, falls_s: float
) -> Latch | None:
    """Return whether a sign counts, that looks so now: a change must have lasted `rises_s` or `falls_s` seconds.

    The first reading counts at once. A sign that cannot be read any more looks as if there was nothing.
    """
    if before is None:
        return None if looks is None else Latch(counts=looks)
    if bool(looks) == before.counts:
        return Latch(counts=before.counts)
    since = at_s if before.otherwise_since_s is None else before.otherwise_since_s
    if at_s - since >= (falls_s if before.counts else rises_s):
        return Latch(counts=not before.counts)
    return Latch(counts=before.counts, otherwise_since_s=since)


def _verdict(
    terms: MannersTerms, readings: Readings, battery: Latch | None, busy: Latch | None, zone: tzinfo | None
) -> Verdict:
    reasons: list[str] = []
    until = None
    if terms.hours is not None and not terms.hours.allows(readings.now, zone):
        until = terms.hours.next_change(readings.now, zone)
        reasons.append(f"it is outside the hours it may serve ({terms.hours})" + _at(until, zone))
    if battery is not None and battery.counts:
        percent = None if readings.power is None else readings.power.percent
        reasons.append("this machine runs on its battery" + ("" if percent is None else f", at {percent} %"))
    if busy is not None and busy.counts:
        used = "" if readings.load is None else f", {readings.load.worst:.0%} of it"
        reasons.append(f"other programs need this machine{used}")
    if not reasons:
        return Verdict()
    return Verdict(
        pause=True, reason=f"paused: {'; '.join(reasons)}", until=until if len(reasons) == 1 else None
    )


def _at(moment: float | None, zone: tzinfo | None) -> str:
    if moment is None:
        return ""
    return f" until {datetime.fromtimestamp(moment, UTC).astimezone(zone):%a %H:%M}"
