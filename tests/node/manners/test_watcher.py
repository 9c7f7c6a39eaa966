"""The watcher: what it looks at, when, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from node.errors import NodeError
from node.manners import watcher as watching
from node.manners.busy import Load, Sample
from node.manners.decide import Verdict
from node.manners.hours import Hours
from node.manners.power import Power
from node.manners.terms import MannersTerms
from node.manners.watcher import LinuxSenses, Watcher
from tests.fakes.clockwork import Clockwork
from tests.fakes.pools import until

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()


class FakeSenses:
    """A machine that is as it is told to be, and may take its time to say so."""

    def __init__(self) -> None:
        self.on_battery = False
        self.used = 0.0
        self.asked: list[str] = []
        self.hang = threading.Event()
        self.hang.set()
        self.error: Exception | None = None

    def power(self) -> Power:
        self.asked.append("power")
        self.hang.wait(20)
        if self.error is not None:
            raise self.error
        return Power(on_battery=self.on_battery)

    def load(self) -> Load | None:
        self.asked.append("load")
        return Load(used=self.used, waited=0)


class Told:
    """Who is told of verdicts, and may refuse."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.refuses = False

    async def __call__(self, verdict: Verdict) -> None:
        if self.refuses:
            raise NodeError("too many commands wait", "ask again")
        self.verdicts.append(verdict)

    @property
    def pauses(self) -> list[bool]:
        return [one.pause for one in self.verdicts]


class Scene:
    """A watcher with everything around it."""

    def __init__(self, terms: MannersTerms) -> None:
        self.senses, self.told, self.clock = FakeSenses(), Told(), Clockwork()
        self.wall = NOON
        self.watcher = Watcher(
            terms, self.told, senses=self.senses, clock=self.clock, wall=lambda: self.wall, zone=UTC
        )
        self.watcher.interval_s = 0.005

    def told_as_time_goes(self, pauses: list[bool]) -> bool:
        """Let time pass, and say whether so much was told by then."""
        self.clock.go(5)
        return self.told.pauses == pauses

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.watcher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


async def test_who_serves_is_told_when_to_pause_and_when_to_go_on() -> None:
    scene = Scene(MannersTerms(pause_on_battery=True))
    async with scene.running():
        await until(lambda: len(scene.senses.asked) > 2)
        assert scene.told.verdicts == [], "a host that may serve need not be told"
        scene.senses.on_battery = True
        await until(lambda: scene.told_as_time_goes([True]))
        assert "battery" in scene.told.verdicts[0].reason
        scene.senses.on_battery = False
        await until(lambda: scene.told_as_time_goes([True, False]))
    assert set(scene.senses.asked) == {"power"}


async def test_where_nothing_is_to_be_watched_nothing_is_read() -> None:
    scene = Scene(MannersTerms())
    async with scene.running():
        await asyncio.sleep(0)
        assert scene.watcher._pause_s() is None
        scene.watcher.change(MannersTerms(hours=Hours.parse("13:00-14:00")))
        await until(lambda: scene.told.pauses == [True])
    assert scene.senses.asked == []


async def test_other_terms_hold_at_once_and_their_reasons_with_them() -> None:
    scene = Scene(MannersTerms(pause_on_battery=True))
    scene.senses.on_battery = True
    scene.watcher.interval_s = 1000
    async with scene.running():
        await until(lambda: scene.told.pauses == [True])
        scene.watcher.change(MannersTerms())
        await until(lambda: scene.told.pauses == [True, False])
        scene.watcher.change(MannersTerms(busy_above=0.5))
        scene.senses.used = 0.9
        await until(lambda: scene.told.pauses == [True, False, True])


async def test_the_moment_hours_begin_is_not_missed() -> None:
    scene = Scene(MannersTerms(hours=Hours.parse("13:00-14:00")))
    scene.watcher.interval_s = 1000.0
    await scene.watcher.look()
    assert scene.watcher._pause_s() == 1000
    scene.wall = NOON + 3599.7
    await scene.watcher.look()
    assert scene.watcher._pause_s() == pytest.approx(0.3)


async def test_what_could_not_be_done_is_asked_for_again() -> None:
    scene = Scene(MannersTerms(hours=Hours.parse("13:00-14:00")))
    scene.told.refuses = True
    await scene.watcher.look()
    await scene.watcher.look()
    assert scene.watcher.verdict.pause
    scene.told.refuses = False
    await scene.watcher.look()
    await scene.watcher.look()
    assert scene.told.pauses == [True]


async def test_a_reading_that_hangs_holds_nothing_up_and_is_not_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "READ_TIMEOUT_S", 0.01)
    scene = Scene(MannersTerms(pause_on_battery=True, busy_above=0.5))
    scene.senses.hang.clear()
    scene.senses.used = 0.9
    try:
        assert (await scene.watcher.look()).pause
        await scene.watcher.look()
        await scene.watcher.look()
        assert scene.senses.asked.count("power") == 1
        assert scene.senses.asked.count("load") == 3
    finally:
        scene.senses.hang.set()
    await until(lambda: not scene.watcher._reading)


async def test_a_look_that_began_under_other_terms_decides_nothing() -> None:
    scene = Scene(MannersTerms(pause_on_battery=True))
    scene.senses.on_battery = True
    scene.senses.hang.clear()
    looking = asyncio.create_task(scene.watcher.look())
    try:
        await until(lambda: scene.senses.asked == ["power"])
        scene.watcher.change(MannersTerms())
    finally:
        scene.senses.hang.set()
    assert not (await looking).pause
    assert scene.told.verdicts == []


async def test_a_defect_in_a_reading_ends_the_watch_and_is_not_hidden() -> None:
    scene = Scene(MannersTerms(pause_on_battery=True))
    scene.senses.error = ValueError("a defect")
    with pytest.raises(ValueError, match="a defect"):
        await scene.watcher.run()


async def test_cancelling_while_a_reading_hangs_ends_the_watch_at_once() -> None:
    scene = Scene(MannersTerms(pause_on_battery=True))
    scene.senses.hang.clear()
    try:
        async with scene.running():
            await until(lambda: scene.senses.asked == ["power"])
    finally:
        scene.senses.hang.set()
    await until(lambda: not scene.watcher._reading)


def test_a_load_is_what_happened_since_the_last_look() -> None:
    clock = Clockwork()
    ticks = iter([0, 1000, None, 5000, 6000])

    def sample(at_s: float) -> Sample | None:
        used = next(ticks)
        if used is None:
            return None
        return Sample(
            at_s=at_s, total_ticks=2 * used, used_ticks=used, own_ticks=0, waited_us=None, own_waited_us=0
        )

    senses = LinuxSenses(sample=sample, clock=clock)
    found = []
    for _ in range(5):
        found.append(senses.load())
        clock.go(5)
    assert found == [None, Load(used=0.5, waited=0), None, None, Load(used=0.5, waited=0)]
