"""How much other programs want of this machine's processors: what all use and wait for, less what this process does.

Two signs, since either alone misleads. Processor time of others, from `/proc/stat` (proc_stat(5)) less our own from
`/proc/self/stat`. And time in which somebody waited for a processor, from `/proc/pressure/cpu` (the kernel's
`Documentation/accounting/psi.rst`), less the waiting of our own threads from `/proc/self/task/*/schedstat`: a host that
computes with all processors makes itself wait, and that is nobody else's trouble. Ours may overlap with others', so
what is left is rather too little than too much.

All of it is read as sums since some beginning; two samples make a `Load`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from node.manners.small_text import read_small

PROC: Final = Path("/proc")
MAX_THREADS: Final = 1024
"""Of this process, looked at; it has a few dozens."""
LEAST_INTERVAL_S: Final = 0.5
"""Between two samples: ticks are a hundredth of a second, and less says nothing."""
_MAX_STAT_BYTES: Final = 64 * 1024
_COUNTED_FIELDS: Final = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; the guests' time after them is in user already."""
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
_UTIME, _STIME = 11, 12
"""Counted from the field after the program's name, which may hold anything (proc_pid_stat(5))."""
_SOME: Final = re.compile(r"some .*\btotal=([0-9]{1,20})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Sums at one moment. None where the kernel does not say."""

    at_s: float
    total_ticks: int
    used_ticks: int
    own_ticks: int
    waited_us: int | None
    """Microseconds in which anybody waited for a processor."""
    own_waited_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What others wanted between two moments."""

    used: float
    """The share of all processors' time that they used, 0 to 1."""
    waited: float
    """The share of the time in which one of them waited for a processor, 0 to 1; 0 where the kernel does not say."""

    @property
    def worst(self) -> float:
        """The larger of both. Waiting counts where others also do something to wait for."""
        return max(self.used, min(self.waited, 4 * self.used))


def read_sample(now_s: float, proc: Path = PROC) -> Sample | None:
    """Read the sums; None when the kernel does not say them. Takes about a millisecond."""
    fields = read_small(proc / "stat", _MAX_STAT_BYTES).partition("\n")[0].split()
    own = _own_ticks(read_small(proc / "self" / "stat"))
    if not fields or fields[0] != "cpu" or own is None:
        return None
    ticks = [int(one) for one in fields[1 : _COUNTED_FIELDS + 1] if one.isascii() and one.isdigit()]
    if len(ticks) < _IOWAIT + 1:
        return None
    # What a hypervisor took for other machines was neither free nor anybody's here.
    idle = ticks[_IDLE] + ticks[_IOWAIT] + sum(ticks[_STEAL:])
    some = _SOME.match(read_small(proc / "pressure" / "cpu"))
    return Sample(
        at_s=now_s,
        total_ticks=sum(ticks),
        used_ticks=sum(ticks) - idle,
        own_ticks=own,
        waited_us=int(some[1]) if some else None,
        own_waited_us=_own_waited_us(proc / "self" / "task") if some else 0,
    )


def load_between(before: Sample, after: Sample) -> Load | None:
    """Return what others wanted from one sample to the next; None when they are too near, or sums went back."""
    passed_s = after.at_s - before.at_s
    total = after.total_ticks - before.total_ticks
    used = after.used_ticks - before.used_ticks
    own = after.own_ticks - before.own_ticks
    if passed_s < LEAST_INTERVAL_S or total <= 0 or used < 0 or own < 0:
        return None
    waited = 0.0
    if before.waited_us is not None and after.waited_us is not None:
        # Threads of ours that ended took their sum with them.
        ours = max(0, after.own_waited_us - before.own_waited_us)
        waited = (after.waited_us - before.waited_us - ours) / (passed_s * 1e6)
    return Load(used=_share((used - own) / total), waited=_share(waited))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _own_ticks(stat: str) -> int | None:
    fields = stat.rpartition(")")[2].split()
    times = fields[_UTIME : _STIME + 1]
    if len(times) < 2 or not all(one.isascii() and one.isdigit() for one in times):
        return None
    return sum(int(one) for one in times)


def _own_waited_us(tasks: Path) -> int:
    """How long threads of this process waited to run, in all (proc_pid_schedstat: nanoseconds run, waited, turns)."""
    try:
        threads = list(islice(tasks.iterdir(), MAX_THREADS))
    except OSError:
        return 0
    waited_ns = 0
    for thread in threads:
        fields = read_small(thread / "schedstat", 128).split()
        if len(fields) >= 2 and fields[1].isascii() and fields[1].isdigit():
            waited_ns += int(fields[1])
    return waited_ns // 1000
