"""Measures what a host with nothing to do takes of a core, and which of its threads wake up how often.

    python -m scripts.bench.idle [--seconds 60] [--json]

It serves a slice and takes part in the DHT, knows nobody, and is asked nothing. Exits with 1 above 1 % of a core.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

from scripts.bench import daemons, machine, options, process

BAR: Final = 0.01
"""Of one core."""
SETTLE_S: Final = 5.0
"""After it is ready: what a start leaves to be done is not what it costs to wait."""
_WORTH_TELLING_HZ: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One thread over the time."""

    name: str
    cpu_s: float
    wakeups_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a host took."""

    seconds: float
    cpu_s: float
    threads: tuple[Waiting, ...]
    """Those that woke up, the busiest first."""

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.seconds


def measure(pid: int, seconds: float) -> Figures:
    """Watch a process that runs. Raises `OSError` when it ends."""
    began, before, cpu_s = time.monotonic(), process.threads(pid), process.cpu_s(pid)
    time.sleep(seconds)
    after, used_s, took_s = process.threads(pid), process.cpu_s(pid) - cpu_s, time.monotonic() - began
    waiting = []
    for number, now in after.items():
        was = before.get(number, process.Thread(now.name, 0.0, 0))
        wakeups = (now.wakeups - was.wakeups) / took_s
        if wakeups > _WORTH_TELLING_HZ:
            waiting.append(Waiting(name=now.name, cpu_s=now.cpu_s - was.cpu_s, wakeups_per_s=wakeups))
    return Figures(
        seconds=took_s,
        cpu_s=used_s,
        threads=tuple(sorted(waiting, key=lambda one: -one.wakeups_per_s)),
    )


def as_text(figures: Figures) -> str:
    """The figures for people."""
    lines = [
        f"{machine.processor()}, {os.cpu_count()} cores",
        f"an idle host took {figures.cpu_s:.2f} s of {figures.seconds:.0f} s: {figures.share:.2%} of a core",
    ]
    lines += [
        f"  {one.name}: {one.wakeups_per_s:.1f} wakeups/s, {one.cpu_s:.2f} s" for one in figures.threads
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = options.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with daemons.controlled("pocket", ["1:24"], "--log-level", "warning") as (host,):
        time.sleep(SETTLE_S)
        figures = measure(host.pid, arguments.seconds)
    if arguments.json:
        shown = {"processor": machine.processor(), "share": figures.share, **asdict(figures)}
        print(json.dumps(shown))
    else:
        print(as_text(figures))
    return 1 if figures.share > BAR else 0


if __name__ == "__main__":
    sys.exit(main())
