"""Writes of what was asked come one after the other, and one that nobody waits for any more comes too."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from node.lifecycle import saving as module
from node.lifecycle.errors import IntentsUnwritable
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.intents import IntentFile
from node.lifecycle.saving import Saving
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.deadline import until

FIRST, SECOND = (Intent(wish=Wish(key=SliceKey(one, None)), aim=Aim.DRAINED) for one in ("first", "second"))


class SlowFile(IntentFile):
    """A file on a disk that takes nothing before it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.goes_on = threading.Event()
        self.writes = 0

    def put(self, key: SliceKey, intent: Intent | None) -> None:
        self.writes += 1
        assert self.goes_on.wait(20)
        super().put(key, intent)


@pytest.fixture
def file(tmp_path: Path) -> SlowFile:
    return SlowFile(tmp_path / "intents.json")


async def test_a_write_that_was_given_up_comes_before_the_next(file: SlowFile) -> None:
    saving = Saving(file)
    given_up = asyncio.create_task(saving.put(FIRST.wish.key, FIRST))
    await until(lambda: file.writes == 1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    second = asyncio.create_task(saving.put(SECOND.wish.key, SECOND))
    # Begun, and held up by the one before.
    await asyncio.sleep(0)
    assert file.writes == 1
    file.goes_on.set()
    await second
    await saving.close()
    assert IntentFile(file.path).load() == (FIRST, SECOND)


async def test_a_disk_that_takes_too_long_is_told_and_the_end_waits_for_it(
    file: SlowFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = Saving(file)
    monkeypatch.setattr(module, "SAVE_TIMEOUT_S", 0.05)
    with pytest.raises(IntentsUnwritable, match="has not taken"):
        await saving.put(FIRST.wish.key, FIRST)
    monkeypatch.setattr(module, "SAVE_TIMEOUT_S", 20.0)
    asyncio.get_running_loop().call_soon(file.goes_on.set)
    await saving.close()
    assert IntentFile(file.path).load() == (FIRST,)
