"""Host daemons for a measurement: started together, stopped whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crypto.identity import PeerId
from wire.contacts import Contact
from wire.types import Address

_STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A host that runs."""

    pid: int
    contact: Contact
    control: Path
    """Its control socket."""


@contextmanager
def running(
    model: str, ranges: Sequence[str], *, dtype: str | None, threads: int, weights: str = "native"
) -> Iterator[tuple[Contact, ...]]:
    """Run one `lamella-node` per layer range on free loopback ports; yields where they are, in order."""
    more = ["--control", "off", "--threads", str(threads), "--weights", weights]
    more += ["--dtype", dtype] if dtype else []
    with tempfile.TemporaryDirectory(prefix="lamella-bench-") as folder:
        own = [[*more, "--identity", str(Path(folder) / f"host-{index}")] for index in range(len(ranges))]
        with _started(model, ranges, own) as processes:
            yield tuple(map(ready, processes))


@contextmanager
def controlled(model: str, ranges: Sequence[str], *more: str) -> Iterator[tuple[Daemon, ...]]:
    """Run hosts as `running` does, each with a control socket and a home of its own, and with these words besides."""
    with tempfile.TemporaryDirectory(prefix="lm-") as folder:
        homes = [Path(folder) / str(index) for index in range(len(ranges))]
        for home in homes:
            home.mkdir(mode=0o700)
        words = [["--control", str(home / "c"), "--no-lan", "--no-map", *more] for home in homes]
        with _started(model, ranges, words, homes) as processes:
            yield tuple(
                Daemon(pid=process.pid, contact=ready(process), control=home / "c")
                for process, home in zip(processes, homes, strict=True)
            )


def own_home(folder: Path) -> dict[str, str]:
    """The environment of a program that finds nothing of this user's, and leaves nothing with it."""
    names = ("DATA", "CACHE", "CONFIG", "STATE")
    return {**os.environ, **{f"XDG_{name}_HOME": str(folder / name.lower()) for name in names}}


@contextmanager
def _started(
    model: str, ranges: Sequence[str], more: Sequence[Sequence[str]], homes: Sequence[Path] = ()
) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    try:
        for index, (layers, words) in enumerate(zip(ranges, more, strict=True)):
            command = [sys.executable, "-m", "node", "--model", model, "--layers", layers, "--json"]
            command += ["--listen", "127.0.0.1:0", *words]
            environment = own_home(homes[index]) if homes else None
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        yield started
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def ready(process: subprocess.Popen[str]) -> Contact:
    """Wait until a process says `ready` and return where it is. Raises `RuntimeError` if it ends or gives up before."""
    if process.stdout is None:
        raise RuntimeError("the daemon has no standard output")
    for line in process.stdout:
        said = json.loads(line)
        if said["event"] == "ready":
            return Contact(peer=PeerId.parse(said["peer_id"]), address=Address.parse(said["address"]))
        if said["event"] == "error":
            raise RuntimeError(said["message"])
    raise RuntimeError("a daemon ended before it was ready")
