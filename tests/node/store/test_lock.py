"""One holder at a time, in one process and in two, and none once its process is dead."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.store.errors import StoreBusy, StoreUnusable
from node.store.lock import FolderLock

HOLD = """
import sys
from pathlib import Path
from node.store.lock import FolderLock
with FolderLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_waits_and_gets_it_when_the_holder_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusy, match="hangs"), FolderLock(tmp_path / "lock", wait_s=0.05).held():
            pass
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()
        holder.stdin.close()
    with FolderLock(tmp_path / "lock", wait_s=0.05).held():
        pass


def test_threads_take_turns_and_one_may_take_it_twice(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock.held(), lock.held():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="nowhere"), FolderLock(tmp_path / "nowhere" / "lock").held():
        pass
