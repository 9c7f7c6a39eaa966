"""`kill -9` at random moments of joining, leaving, draining, pausing: what was acknowledged holds at the next start."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.lifecycle_worker import CONFIGURED, SLICES

Asked = tuple[str, bool]
"""What is asked of a slice: `held`, `drained` or `left`; and whether it is paused."""


def after(before: Asked, command: str) -> Asked:
    """What is asked of a slice once a command holds."""
    aim, paused = before
    if command in ("pause", "resume"):
        return aim, command == "pause"
    if command == "leave":
        return "left", False
    return ("drained" if command == "drain" else "held"), paused


class Ledger:
    """What must hold, of all that a process said before it was killed."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {
            str(one.key): ("held" if one in CONFIGURED else "left", False) for one in SLICES
        }
        self.open: tuple[str, Asked] | None = None
        """A command that was given and not answered: it may hold or not."""
        self.answered = 0

    def take(self, line: list[object]) -> None:
        """Read one line of a running process."""
        what = line[0]
        if what == "ask":
            key, command = str(line[1]), str(line[2])
            self.open = key, after(self.asked[key], command)
        elif what == "holds":
            assert self.open is not None
            self.asked[self.open[0]] = self.open[1]
            self.answered += 1
            self.open = None
        elif what == "refused":
            self.open = None
        elif what == "offer":
            key = str(line[1])
            allowed = [self.asked[key]]
            if self.open is not None and self.open[0] == key:
                allowed.append(self.open[1])
            assert ("held", False) in allowed, f"{key} is announced, and {allowed} was asked"

    def check(self, found: dict[str, Asked]) -> None:
        """Compare with what the next process found, which settles what was open."""
        for key, asked in self.asked.items():
            now = found.get(key, ("left", False))
            allowed = [asked]
            if self.open is not None and self.open[0] == key:
                allowed.append(self.open[1])
            assert now in allowed, f"{key}: {now} at the start, {allowed} was asked"
            self.asked[key] = now
        self.open = None


def killed(folder: Path, kills: int, seed: int) -> int:
    """Kill a process so many times, and look at each start; how many commands had been acknowledged."""
    dice, ledger = random.Random(seed), Ledger()
    for number in range(kills + 1):
        words = [
            sys.executable,
            "-m",
            "tests.fakes.lifecycle_worker",
            str(folder / "intents.json"),
            f"{seed} {number}",
        ]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                found: dict[str, Asked] = {}
                early: list[list[object]] = []
                for text in process.stdout:
                    line = json.loads(text)
                    if line[0] == "ready":
                        break
                    if line[0] == "found":
                        found[line[1]] = "drained" if line[2] == "stopped" else "held", line[3]
                    else:
                        early.append(line)
                ledger.check(found)
                assert len(list(folder.iterdir())) <= 2, "files that were being written do not pile up"
                for line in early:
                    ledger.take(line)
                if number < kills:
                    # What is killed is the moment between two bytes of a small file, so any moment will do.
                    time.sleep(dice.uniform(0.0, 0.12))
            finally:
                process.kill()
            for text in process.stdout:
                if text.endswith("\n"):
                    ledger.take(json.loads(text))
    return ledger.answered


def test_a_host_that_is_killed_ten_times_does_what_was_acknowledged(tmp_path: Path) -> None:
    assert killed(tmp_path, 10, seed=1) > 10


@pytest.mark.endurance
def test_a_host_that_is_killed_two_hundred_times_does_what_was_acknowledged(tmp_path: Path) -> None:
    assert killed(tmp_path, 200, seed=2) > 200
