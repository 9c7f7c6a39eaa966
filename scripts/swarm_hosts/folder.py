"""What is on disk of a local swarm: one folder, one lock, one sub-folder per host.

    .swarm/lock                 held by the command at work on the swarm; holds who that is
    .swarm/swarm.json           what was started, and when
    .swarm/client/identity      who asks
    .swarm/host-1/identity      who answers, the same in every run
    .swarm/host-1/process       the host's process, written by the process itself before its program begins
    .swarm/host-1/status.jsonl  what it says of itself (`node.status`)
    .swarm/host-1/log           its standard error

Nothing else is remembered: whether a host runs, where and how far it is are read from these each time.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.paths import make_private
from scripts.swarm_hosts.errors import AlreadyRunning, NotRunning, SwarmError
from scripts.swarm_hosts.plan import SwarmPlan
from scripts.swarm_hosts.processes import ProcessId
from wire.types import LayerRange

_LOG_TAIL_BYTES: Final = 16 * 1024
_STATUS_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock."""

    process: ProcessId | None
    command: str
    since: str


@dataclass(frozen=True, slots=True)
class Host:
    """One host's folder, and what it tells of the host."""

    number: int
    """Counted from 1."""
    layers: LayerRange
    folder: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return f"host {self.number}"

    @property
    def recorded(self) -> ProcessId | None:
        """The process that was last started here, whether or not it still runs."""
        return ProcessId.parse(_read(self.folder / "process"))

    @property
    def process(self) -> ProcessId | None:
        """Its process, when it runs."""
        recorded = self.recorded
        return recorded if recorded is not None and recorded.alive else None

    def said(self, event: str) -> dict[str, Any] | None:
        """The latest status line of that kind."""
        found = None
        for line in _read(self.folder / "status.jsonl", first_bytes=_STATUS_BYTES).splitlines():
            try:
                status = json.loads(line)
            except ValueError:
                continue
            if isinstance(status, dict) and status.get("event") == event:
                found = status
        return found

    @property
    def address(self) -> str | None:
        """Where it takes links; None before it is ready."""
        ready = self.said("ready")
        return str(ready["address"]) if ready is not None and "address" in ready else None

    @property
    def peer_id(self) -> str | None:
        """Who it proves to be; None before it is ready."""
        ready = self.said("ready")
        return str(ready["peer_id"]) if ready is not None and "peer_id" in ready else None

    def log_tail(self, lines: int = 12) -> tuple[str, ...]:
        """The last lines of its standard error, without what could harm a terminal."""
        text = _read(self.folder / "log", last_bytes=_LOG_TAIL_BYTES)
        return tuple("".join(c for c in line if c.isprintable()) for line in text.splitlines()[-lines:])


class SwarmFolder:
    """The folder of one swarm."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def client_identity(self) -> Path:
        """The identity file of who asks."""
        return self.path / "client" / "identity"

    @contextmanager
    def locked(self, command: str) -> Iterator[None]:
        """Be the one command that changes the swarm. Raises `AlreadyRunning` at once when another one is."""
        make_private(self.path)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunning(self._in_the_way()) from error
            me = ProcessId.of(os.getpid())
            words = {"process": me.record() if me else "", "command": command, "since": _clock()}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(words).encode(), 0)
            yield
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def holder(self) -> Holder | None:
        """Who wrote its name into the lock last and still runs."""
        try:
            raw = json.loads(_read(self.path / "lock"))
            holder = Holder(ProcessId.parse(raw["process"]), str(raw["command"]), str(raw["since"]))
        except (ValueError, KeyError, TypeError):
            return None
        return holder if holder.process is not None and holder.process.alive else None

    def write(self, plan: SwarmPlan) -> tuple[Host, ...]:
        """Make the folders of a new swarm, forgetting the one before, and return its hosts."""
        for stale in (*self.path.glob("host-*/process"), *self.path.glob("host-*/status.jsonl")):
            stale.unlink(missing_ok=True)
        words = asdict(plan) | {"layers": [str(one) for one in plan.layers], "since": _clock()}
        temporary = self.path / "swarm.json.new"
        temporary.write_text(json.dumps(words, indent=2) + "\n")
        temporary.replace(self.path / "swarm.json")
        hosts = self._hosts(plan.layers)
        for host in hosts:
            make_private(host.folder)
        make_private(self.client_identity.parent)
        return hosts

    def read(self) -> tuple[str, str, tuple[Host, ...]]:
        """Return the model, since when, and the hosts of the swarm started last. Raises `NotRunning` without one."""
        try:
            raw = json.loads((self.path / "swarm.json").read_text())
            ranges = tuple(LayerRange.parse(one) for one in raw["layers"])
            return str(raw["model"]), str(raw["since"]), self._hosts(ranges)
        except FileNotFoundError as error:
            raise NotRunning("no swarm runs here; begin with: scripts/local-swarm.sh start") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SwarmError(
                f"{self.path / 'swarm.json'} cannot be read; run: scripts/local-swarm.sh stop"
            ) from error

    def forget(self) -> None:
        """Drop the swarm that has stopped; identities and logs stay."""
        for path in (*self.path.glob("host-*/process"), self.path / "swarm.json"):
            path.unlink(missing_ok=True)

    def left(self) -> tuple[Host, ...]:
        """Every host of which there is a record of a process, of this swarm or an older one; needs no `swarm.json`."""
        numbers = sorted(
            int(path.parent.name[5:])
            for path in self.path.glob("host-*/process")
            if path.parent.name[5:].isdecimal()
        )
        return tuple(Host(number, LayerRange(0, 0), self._folder(number)) for number in numbers)

    def running(self) -> tuple[Host, ...]:
        """Those of `left` whose process runs."""
        return tuple(host for host in self.left() if host.process is not None)

    def refuse_a_second(self) -> None:
        """Raise `AlreadyRunning` when a host of a swarm started before still runs."""
        hosts = self.running()
        if not hosts:
            return
        try:
            since = f" since {self.read()[1]}"
        except SwarmError:
            since = ""
        pids = ", ".join(str(host.recorded.pid) for host in hosts if host.recorded is not None)
        raise AlreadyRunning(
            f"a swarm runs here{since} (pid {pids}); stop it first: scripts/local-swarm.sh stop"
        )

    def _in_the_way(self) -> str:
        holder = self.holder()
        if holder is None or holder.process is None:
            return (
                "another command is at work on this swarm; wait for it, or run: scripts/local-swarm.sh stop"
            )
        return (
            f"`{holder.command}` is at work on this swarm since {holder.since} (pid {holder.process.pid}); "
            "wait for it, or stop it: scripts/local-swarm.sh stop"
        )

    def _hosts(self, ranges: tuple[LayerRange, ...]) -> tuple[Host, ...]:
        return tuple(Host(number, layers, self._folder(number)) for number, layers in enumerate(ranges, 1))

    def _folder(self, number: int) -> Path:
        return self.path / f"host-{number}"


def _clock() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _read(path: Path, *, first_bytes: int | None = None, last_bytes: int | None = None) -> str:
    """The text of a file, or of its beginning or end; nothing when there is no such file."""
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                file.seek(max(0, file.seek(0, os.SEEK_END) - last_bytes))
            return file.read(-1 if first_bytes is None else first_bytes).decode(errors="replace")
    except FileNotFoundError:
        return ""
