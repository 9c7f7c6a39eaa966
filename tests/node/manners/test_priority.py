from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from node.manners.priority import stand_back

PROGRAM = """
import os, threading
from node.manners.priority import stand_back
go, done = threading.Event(), threading.Event()
found = []
def work():
    done.set()
    go.wait()
    found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
thread = threading.Thread(target=work)
thread.start()
done.wait()
print(stand_back(7))
go.set()
thread.join()
later = threading.Thread(target=work)
later.start()
later.join()
print(os.getpriority(os.PRIO_PROCESS, 0), *found, stand_back(7))
"""


def test_all_threads_stand_back_those_that_are_there_and_those_to_come() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path.cwd(),
    )
    assert run.stdout.split() == ["True", "7", "7", "7", "True"]


class Priorities:
    """Of threads 1 to 3; some cannot be changed, some are gone."""

    def __init__(self, *, refused: int = 0, gone: int = 0) -> None:
        self.values = {1: 0, 2: 5, 3: 0}
        self.refused, self.gone = refused, gone

    def get(self, which: int, who: int) -> int:
        assert which == os.PRIO_PROCESS
        if who == self.gone:
            raise ProcessLookupError
        return self.values[who]

    def set(self, which: int, who: int, nice: int) -> None:
        if who == self.refused:
            raise PermissionError
        self.values[who] = nice


def tasks(root: Path) -> Path:
    for name in ("1", "2", "3", "odd"):
        (root / name).mkdir()
    return root


def test_a_thread_that_may_not_come_forward_again_is_told_of_and_the_others_do(tmp_path: Path) -> None:
    held = Priorities(refused=2)
    assert not stand_back(3, threads=tasks(tmp_path), get=held.get, set_=held.set)
    assert held.values == {1: 3, 2: 5, 3: 3}


def test_a_thread_that_has_ended_is_no_trouble(tmp_path: Path) -> None:
    held = Priorities(gone=1)
    assert stand_back(3, threads=tasks(tmp_path), get=held.get, set_=held.set)
    assert held.values == {1: 0, 2: 3, 3: 3}


def test_where_threads_are_not_listed_the_caller_is_meant(tmp_path: Path) -> None:
    asked: list[int] = []

    def note(which: int, who: int, nice: int) -> None:
        asked.append(who)

    assert stand_back(3, threads=tmp_path / "missing", get=lambda which, who: 0, set_=note)
    assert asked == [0]
