"""A folder for a local swarm of stand-ins, the commands run on it as programs, and a look at what they leave behind."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.swarm_hosts.processes import ProcessId

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0


class Lab:
    """A swarm's folder, a model of 24 layers in name only, and programs in place of hosts and client."""

    def __init__(self, path: Path) -> None:
        self.folder = path / ".swarm"
        self.traces = path / "traces"
        self.model = path / "model"
        self.traces.mkdir()
        self.model.mkdir()
        (self.model / "config.json").write_text('{"num_hidden_layers": 24}')
        self.programs: list[subprocess.Popen[str]] = []

    def begin(self, *words: str, hosts: str = "serves", client: str = "answers") -> subprocess.Popen[str]:
        """Run a command without waiting for it."""
        what = [str(self.folder), str(self.traces), hosts, client]
        model = ["--model", str(self.model)] if words[0] in ("start", "demo") else []
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.stand_in_swarm", *what, *words, *model],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.programs.append(program)
        return program

    def run(
        self, *words: str, hosts: str = "serves", client: str = "answers", code: int = 0
    ) -> tuple[str, str]:
        """Run a command to its end; return what it wrote."""
        program = self.begin(*words, hosts=hosts, client=client)
        out, err = program.communicate(timeout=DEADLINE_S)
        assert program.returncode == code, (out, err)
        assert "Traceback" not in err
        return out, err

    def pids(self) -> list[int]:
        """Every host process that ever ran."""
        return [int(path.name) for path in self.traces.iterdir() if path.name.isdecimal()]

    def ports(self) -> list[int]:
        """Every port a host ever listened on."""
        return [int(path.name[5:]) for path in self.traces.iterdir() if path.name.startswith("port-")]

    def nothing_is_left(self) -> None:
        """No process runs, no port is taken, and the next swarm may start."""
        until(lambda: all(ProcessId.of(pid) is None for pid in self.pids()))
        for port in self.ports():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with (self.folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def read_until(program: subprocess.Popen[str], word: str) -> str:
    """Read a program's output up to a word, character by character."""
    assert program.stdout is not None
    seen = ""
    while word not in seen:
        new = program.stdout.read(1)
        assert new, f"ended without {word!r}: {seen!r}"
        seen += new
    return seen
