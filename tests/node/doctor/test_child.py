"""Torch is asked in a process of its own, whose every end is an answer or an error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.doctor import child
from node.doctor.child import GaugeFailed
from tests.fakes.deadline import until


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a module of a text, to stand for the gauge, and says what it is called."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def make(text: str) -> str:
        (tmp_path / "stand_in_gauge.py").write_text(text)
        return "stand_in_gauge"

    return make


async def test_the_object_that_is_printed_is_returned(module: Callable[[str], str]) -> None:
    say = "import json, os, sys; said = [*sys.argv[1:], os.environ['OMP_NUM_THREADS']]; print(json.dumps({}))"
    assert await child.ask("speed", threads=3, module=module(say.format("{'a': said}"))) == {
        "a": ["speed", "3"]
    }
    with pytest.raises(GaugeFailed, match="no answer"):
        await child.ask("speed", threads=3, module=module(say.format("said")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os; os.kill(os.getpid(), 4)", "SIGILL.*for this processor"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("raise ImportError('no torch here')", "no torch here"),
        ("print('rubbish')", "cannot be read"),
        ("import sys; sys.exit(2)", "ended with 2"),
    ],
)
async def test_every_other_end_is_an_error_with_its_next_step(
    module: Callable[[str], str], text: str, said: str
) -> None:
    with pytest.raises(GaugeFailed, match=said):
        await child.ask("speed", module=module(text))


async def test_a_process_that_hangs_is_ended_when_nobody_waits_any_more(
    module: Callable[[str], str], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    name = module(
        "import os, time, pathlib\n"
        f"new = pathlib.Path({str(pid)!r} + '.new')\n"
        f"new.write_text(str(os.getpid()))\nnew.rename({str(pid)!r})\ntime.sleep(600)\n"
    )
    task = asyncio.create_task(child.ask("speed", module=name))
    await until(pid.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(_number(pid), 0)


def _number(file: Path) -> int:
    return int(file.read_text())
