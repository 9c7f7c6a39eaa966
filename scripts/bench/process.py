"""What the system says of a process: its memory, files, threads, and the processor's time it has taken.

Memory is the resident set, and the part of it that is the process's own (`RssAnon`). The proportional set is not
used: what several processes map is divided among them, so that a client which leaves would look like growth of a host.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a process holds at one moment."""

    resident_bytes: int
    own_bytes: int
    """Of them, what no file stands behind: all that a program allocates."""
    files: int
    """Open descriptors: files, sockets, pipes."""
    threads: int


@dataclass(frozen=True, slots=True)
class Thread:
    """What one thread has done since it began."""

    name: str
    cpu_s: float
    wakeups: int
    """How often it went to sleep by itself, and so was woken again."""


def held(pid: int) -> Held:
    """Look at a process. Raises `OSError` when it has ended."""
    status = _status(Path(f"/proc/{pid}/status"))
    return Held(
        resident_bytes=_kilobytes(status["VmRSS"]),
        own_bytes=_kilobytes(status["RssAnon"]),
        files=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
    )


def cpu_s(pid: int) -> float:
    """The processor's time that all threads of a process have taken, ended ones too, to a hundredth of a second."""
    return _cpu_s(Path(f"/proc/{pid}/stat"))


def threads(pid: int) -> dict[int, Thread]:
    """The threads of a process, by their id."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        status = _status(folder / "status")
        found[int(folder.name)] = Thread(
            name=status["Name"],
            cpu_s=_cpu_s(folder / "stat"),
            wakeups=int(status["voluntary_ctxt_switches"]),
        )
    return found


def _cpu_s(stat: Path) -> float:
    # The name, in brackets, may hold anything. What follows it begins with the third field.
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _status(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _kilobytes(words: str) -> int:
    return int(words.split(maxsplit=1)[0]) * 1024
