"""Whether the clock can be believed: records of hosts carry times, and are dropped by peers where those are far off.

No server is asked. What shows without one: a year before this program was written, a wall clock that jumps against the
monotonic one, a system that says it is not synchronised, and an offset that a running host has learnt from its peers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from node.doctor.finding import Finding, ok, problem, warning
from node.doctor.host import Host
from node.service.errors import ServiceError
from node.service.programs import Programs

_EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""This program was not there before."""
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_WATCHED_S: Final = 0.2
_MOST_DRIFT_S: Final = 0.05
"""In the time watched; a clock that is steered differs by a ten-thousandth of this."""
_MOST_OFFSET_S: Final = 30.0
_SET: Final = "set the clock, and let the system keep it with `sudo timedatectl set-ntp true`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The two clocks, and waiting; other ones in tests."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    watched_s: float = _WATCHED_S


async def look(host: Host, programs: Programs, clocks: Clocks | None = None) -> Finding:
    """Look at the clock."""
    clocks = clocks if clocks is not None else Clocks()
    drift = await _drift(clocks)
    now = clocks.wall()
    synchronised = await _synchronised(programs)
    offset = learnt_offset((await host.heard()).metrics)
    facts = {"unix_time": round(now), "drift_s": round(drift, 4), "ntp": synchronised, "offset_s": offset}
    if not _EARLIEST <= now <= _LATEST:
        return problem("the clock shows a year that cannot be", _SET, **facts)
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
    if offset is not None and abs(offset) > _MOST_OFFSET_S:
        return problem(f"peers' clocks differ from this one ({shown}) by {offset:.0f} s", _SET, **facts)
    if abs(drift) > _MOST_DRIFT_S:
        return warning(
            f"the clock ({shown}) jumped by {drift:.2f} s while it was watched",
            "see what else sets the clock, such as a virtual machine's guest tools beside NTP",
            **facts,
        )
    if synchronised is False:
        return warning(f"the system says that its clock ({shown}) is not synchronised", _SET, **facts)
    how = "synchronised, the system says" if synchronised else "whether it is synchronised is not told here"
    return ok(f"{shown}, {how}", **facts)


def learnt_offset(metrics: Mapping[str, float]) -> float | None:
    """Seconds by which peers' clocks differ from ours, as a host tells it in a metric named for that, if it does."""
    for name, value in metrics.items():
        if "clock_offset_seconds" in name and math.isfinite(value):
            return value
    return None


async def _drift(clocks: Clocks) -> float:
    wall, steady = clocks.wall(), clocks.steady()
    await asyncio.sleep(clocks.watched_s)
    return (clocks.wall() - wall) - (clocks.steady() - steady)


async def _synchronised(programs: Programs) -> bool | None:
    """What `timedatectl` says; None where it is missing or cannot say."""
    try:
        answer = await programs.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    except ServiceError:
        return None
    said = answer.out.strip()
    return {"yes": True, "no": False}.get(said) if answer.exit_status == 0 else None
