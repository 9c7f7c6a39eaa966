"""Processes that outlive the one that started them, told apart from later ones with the same number.

A process is its number, the tick it started at and the boot it started in; a signal goes through a descriptor of the
process that was checked, so a recycled number is never hit. Linux only (`proc(5)`, `pidfd_open(2)`, `prctl(2)`).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of this machine, past or present."""

    pid: int
    started_ticks: int
    """Clock ticks from the machine's start to the process's."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the process that has this number now; None when it has ended, reaped or not."""
        try:
            stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name, in parentheses, may hold spaces and parentheses itself.
        state, *others = stat.rpartition(")")[2].split()
        return None if state in "ZX" else cls(pid, int(others[18]), _boot())

    @classmethod
    def parse(cls, text: str) -> ProcessId | None:
        """Read a record; None for one that is empty or damaged."""
        try:
            raw = json.loads(text)
            return cls(int(raw["pid"]), int(raw["started_ticks"]), str(raw["boot"]))
        except (ValueError, KeyError, TypeError):
            return None

    def record(self) -> str:
        """The text that `parse` reads."""
        return json.dumps({"pid": self.pid, "started_ticks": self.started_ticks, "boot": self.boot})

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return ProcessId.of(self.pid) == self

    @property
    def resident_bytes(self) -> int:
        """Memory it holds, 0 when it is gone."""
        try:
            pages = int((_PROC / str(self.pid) / "statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE") if self.alive else 0

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process is gone. Raises `PermissionError` for someone else's."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The descriptor is of whatever had the number a moment ago; only now is it known to be this process.
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


async def ended(process: ProcessId) -> None:
    """Wait until a process has ended, anyone's child or nobody's."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    try:
        if process.alive:
            loop.add_reader(handle, gone.set)
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    record: Path,
    out: Path,
    err: Path,
    dies_with_parent: bool,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, without a terminal, its output in files.

    The child writes its own record before the program begins, so no moment exists in which it runs unrecorded, even
    if this process is killed. Call it from the main thread: the life of that thread is what `dies_with_parent` means.

    Args:
        record: file for its `ProcessId`.
        out: file for its standard output, begun anew.
        err: file for its standard error, begun anew.
        dies_with_parent: the system kills it when this process ends in whatever way.

    Raises:
        OSError: the program or a file cannot be opened.
    """
    parent = os.getpid()

    def begin() -> None:
        if dies_with_parent:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
        me = ProcessId.of(os.getpid())
        if me is not None:
            os.write(recording.fileno(), me.record().encode())

    with record.open("wb", buffering=0) as recording, out.open("wb") as output, err.open("wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=begin,  # noqa: PLW1509 - nothing else runs in this process while it starts hosts
        )


def describe(returncode: int) -> str:
    """Say how a process ended."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
