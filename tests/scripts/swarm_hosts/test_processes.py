from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.swarm_hosts.processes import ProcessId, describe, ended, spawn


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    program = subprocess.Popen(["sleep", "60"])
    yield program
    program.kill()
    program.wait()


def identity(pid: int) -> ProcessId:
    """The process that must exist."""
    found = ProcessId.of(pid)
    assert found is not None
    return found


def test_a_process_is_told_from_a_later_one_with_its_number(sleeper: subprocess.Popen[bytes]) -> None:
    now = identity(sleeper.pid)
    earlier = ProcessId(now.pid, now.started_ticks - 1, now.boot)
    before_the_reboot = ProcessId(now.pid, now.started_ticks, "another")
    assert now.alive
    for other in (earlier, before_the_reboot):
        assert not other.alive
        assert not other.send(signal.SIGKILL)
        assert other.resident_bytes == 0
    assert sleeper.poll() is None
    assert now.resident_bytes > 0


def test_a_process_that_nobody_has_waited_for_has_ended_all_the_same(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = identity(sleeper.pid)
    assert process.send(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{sleeper.pid}").exists()
    assert not process.alive
    assert ProcessId.of(sleeper.pid) is None
    sleeper.wait()
    assert not process.send(signal.SIGKILL)


def test_a_name_full_of_parentheses_and_spaces_is_read_past(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as program:
        assert identity(program.pid).alive
        program.kill()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"pid": 1}', '{"pid": "x", "started_ticks": 1, "boot": ""}']
)
def test_a_damaged_record_is_no_process(text: str) -> None:
    assert ProcessId.parse(text) is None


def test_a_record_is_read_back() -> None:
    me = identity(os.getpid())
    assert ProcessId.parse(me.record()) == me


def test_a_number_that_no_process_has_is_no_process() -> None:
    assert ProcessId.of(1 << 22) is None


async def test_the_end_of_a_process_is_awaited(sleeper: subprocess.Popen[bytes]) -> None:
    process = identity(sleeper.pid)
    waiting = asyncio.create_task(ended(process))
    await asyncio.sleep(0)
    assert not waiting.done()
    sleeper.kill()
    async with asyncio.timeout(10):
        await waiting
        await ended(process)
        await ended(ProcessId(process.pid, process.started_ticks - 1, process.boot))
    sleeper.wait()


def run(tmp_path: Path, *command: str, dies_with_parent: bool = False) -> subprocess.Popen[bytes]:
    """Spawn with files in a folder."""
    return spawn(
        command,
        environment={"PATH": os.environ["PATH"], "WORD": "yes"},
        record=tmp_path / "process",
        out=tmp_path / "out",
        err=tmp_path / "err",
        dies_with_parent=dies_with_parent,
    )


def test_a_spawned_process_is_recorded_detached_and_writes_to_files(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("of an earlier run")
    child = run(tmp_path, "sh", "-c", "echo $WORD; echo no >&2; cat; ps -o sid= -p $$")
    assert child.wait(timeout=10) == 0
    assert (tmp_path / "out").read_text().split() == ["yes", str(child.pid)]
    assert (tmp_path / "err").read_text() == "no\n"
    recorded = ProcessId.parse((tmp_path / "process").read_text())
    assert recorded is not None
    assert recorded.pid == child.pid
    assert not recorded.alive


def test_a_program_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(tmp_path, str(tmp_path / "nothing"))


async def test_a_child_that_ignores_everything_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from scripts.swarm_hosts.processes import spawn\n"
        "f = Path(sys.argv[1])\n"
        "c = ['sh', '-c', 'trap \"\" TERM HUP INT; echo on; while :; do sleep 1; done']\n"
        "spawn(c, environment={}, record=f / 'process', out=f / 'out', err=f / 'err', dies_with_parent=True)\n"
        "print('spawned', flush=True); sys.stdin.read()\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        assert await parent.stdout.readline() == b"spawned\n"
        child = ProcessId.parse((tmp_path / "process").read_text())
        assert child is not None
        assert child.alive
        parent.kill()
        await parent.wait()
        await ended(child)


def test_how_a_process_ended_is_told_in_words() -> None:
    assert describe(0) == "ended with exit code 0"
    assert describe(-signal.SIGKILL) == "was killed by SIGKILL"
    assert describe(-99) == "was killed by signal 99"
