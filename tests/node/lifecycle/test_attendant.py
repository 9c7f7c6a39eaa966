"""One slice's task: commands one after the other, nothing acknowledged that is not on disk, cleared at any end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from node.errors import NodeError
from node.lifecycle import attendant as module
from node.lifecycle.attendant import MAX_WAITING, Attendant, Office
from node.lifecycle.errors import HostStopping, NotHeld, StillDraining, TooMany
from node.lifecycle.following import SliceStatus
from node.lifecycle.happenings import Aim, Close, Command, Drain, Halt, Intent, Join, Leave, Loaded, Undrain
from node.lifecycle.machine import Life, Step, revived
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.deadline import until
from tests.fakes.slice_hands import HeldSlice, SliceHands
from wire.codes import Code
from wire.errors import IllegalState

WISH = Wish(key=SliceKey("pocket", None))
HELD = Intent(wish=WISH, aim=Aim.HELD)


@dataclass
class Desk:
    """All that an attendant needs."""

    hands: SliceHands = field(default_factory=SliceHands)
    saved: list[Intent] = field(default_factory=list)
    told: list[SliceStatus] = field(default_factory=list)
    disk: asyncio.Event = field(default_factory=asyncio.Event)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.disk.set()

    async def save(self, intent: Intent) -> None:
        await self.disk.wait()
        self.saved.append(intent)

    def attendant(self, begun: Step) -> Attendant[HeldSlice]:
        office = Office(hands=self.hands, save=self.save, tell=self.told.append, clock=lambda: self.now)
        return Attendant(begun, office)


@asynccontextmanager
async def attended(desk: Desk, begun: Step) -> AsyncIterator[Attendant[HeldSlice]]:
    one = desk.attendant(begun)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.done()
        assert not desk.hands.memory, "nothing is left in memory, whatever happened"


def drain(deadline: float = 300.0) -> Drain:
    return Drain(deadline=deadline, until=1.0)


async def serving(desk: Desk, one: Attendant[HeldSlice]) -> HeldSlice:
    await until(lambda: one.life.state is State.SERVING)
    return desk.hands.of(WISH.key)


async def test_a_slice_is_loaded_with_progress_and_then_announced() -> None:
    desk = Desk()
    gate = desk.hands.shut("load")
    async with attended(desk, revived(HELD)) as one:
        await until(lambda: one.status.fraction == 0.5)
        assert desk.hands.announced() == set()
        gate.set()
        await serving(desk, one)
        assert desk.hands.announced() == {WISH.key}
        assert [status.state for status in desk.told] == [State.LOADING, State.LOADING, State.SERVING]
        assert one.status.fraction is None


async def test_a_command_is_answered_when_it_is_saved_and_changes_nothing_before() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        await serving(desk, one)
        desk.disk.clear()
        asked = asyncio.create_task(one.ask(drain()))
        await asyncio.sleep(0.05)
        assert not asked.done() and one.life.state is State.SERVING
        desk.disk.set()
        await asked
        assert desk.saved == [Intent(wish=WISH, aim=Aim.DRAINED, until=1.0)]
        assert desk.hands.announced() == set()


async def test_commands_come_one_after_the_other_in_the_order_of_asking() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        held = await serving(desk, one)
        held.sessions = 1
        await asyncio.gather(one.ask(drain()), one.ask(Undrain()), one.ask(drain()))
        assert [each.aim for each in desk.saved] == [Aim.DRAINED, Aim.HELD, Aim.DRAINED]
        assert one.life.state is State.DRAINING
        held.sessions = 0
        await until(lambda: one.life.state is State.STOPPED)


async def test_a_command_whose_giver_went_before_it_was_begun_is_not_done() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        await serving(desk, one)
        desk.disk.clear()
        first, second = (asyncio.create_task(one.ask(each)) for each in (Undrain(), drain()))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait({second})
        desk.disk.set()
        await first
        await one.ask(Undrain())
        assert [each.aim for each in desk.saved] == [Aim.HELD, Aim.HELD]


async def test_a_command_that_the_state_forbids_is_answered_with_the_reason() -> None:
    desk = Desk()
    async with attended(desk, revived(Intent(wish=WISH, aim=Aim.DRAINED))) as one:
        with pytest.raises(StillDraining):
            await one.ask(Join(WISH))
        assert desk.saved == []


async def test_commands_that_wait_are_bounded() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        await serving(desk, one)
        desk.disk.clear()
        asked = [asyncio.create_task(one.ask(Undrain())) for _ in range(MAX_WAITING + 1)]
        await asyncio.sleep(0.01)
        asked += [asyncio.create_task(one.ask(Undrain())) for _ in range(3)]
        await until(lambda: sum(each.done() for each in asked) >= 3)
        refused = [each for each in asked if each.done()]
        assert all(isinstance(each.exception(), TooMany) for each in refused)
        desk.disk.set()
        await asyncio.gather(*(each for each in asked if each not in refused))


async def test_sessions_that_never_end_are_ended_at_the_deadline_and_the_memory_is_free() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        held = await serving(desk, one)
        held.sessions = 3
        await one.ask(drain(100.0))
        desk.now = 99.0
        await asyncio.sleep(0.15)
        assert one.status.grace_left_s == 1.0
        assert held.sessions == 3 and held.refuses is Code.DRAINING
        desk.now = 100.0
        await until(lambda: one.life.state is State.STOPPED)
        assert held.ended_with is Code.DRAINING
        assert (one.cut_off, desk.hands.memory) == (3, set())


async def test_a_load_that_is_given_up_is_ended_before_the_slice_is_stopped() -> None:
    desk = Desk()
    desk.hands.shut("load")
    async with attended(desk, revived(HELD)) as one:
        await until(lambda: desk.hands.waiting == ["load"])
        await one.ask(drain())
        await until(lambda: one.life.state is State.STOPPED)
        assert (desk.hands.memory, desk.hands.waiting) == (set(), [])


async def test_a_load_that_does_not_hear_that_it_is_given_up_is_unloaded() -> None:
    desk = Desk()
    desk.hands.shut("load")
    desk.hands.deaf = True
    async with attended(desk, revived(HELD)) as one:
        await until(lambda: desk.hands.waiting == ["load"])
        await one.ask(drain())
        await until(lambda: one.life.state is State.STOPPED)
        assert desk.hands.memory == set()
        await one.ask(Undrain())
        await until(lambda: desk.hands.waiting == ["load"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NodeError("the hub is away", "try again"), "the hub is away"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("a defect"), "defect of this program"),
    ],
)
async def test_a_load_that_fails_leaves_nothing_and_says_why(error: Exception, words: str) -> None:
    desk = Desk()
    desk.hands.failing["load"] = error
    async with attended(desk, revived(HELD)) as one:
        await until(lambda: one.life.state is State.FAILED)
        assert one.life.failure is not None and words in one.life.failure.cause
        desk.hands.memory.clear()  # What failed by a defect took it along.
        await one.ask(Join(WISH))
        await serving(desk, one)


@pytest.mark.parametrize("what", ["abort", "unload"])
async def test_what_could_not_be_freed_is_freed_later_and_not_stopped_before(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    async with attended(desk, revived(HELD)) as one:
        held = await serving(desk, one)
        held.sessions = 1
        desk.hands.failing[what] = NodeError("the thread is stuck", "wait")
        await one.ask(drain(0.0))
        await until(lambda: one.life.state is State.STOPPED)
        assert not desk.hands.failing and not desk.hands.memory
        assert one.cut_off == 1


async def test_commands_go_on_while_memory_is_being_freed() -> None:
    desk = Desk()
    gate = desk.hands.shut("unload")
    async with attended(desk, revived(HELD)) as one:
        await serving(desk, one)
        await one.ask(drain())
        await until(lambda: desk.hands.waiting == ["unload"])
        await one.ask(Undrain())
        assert one.life.state is State.RENEWING
        gate.set()
        await serving(desk, one)


async def test_a_signal_goes_before_commands_that_wait() -> None:
    desk = Desk()
    async with attended(desk, revived(HELD)) as one:
        held = await serving(desk, one)
        held.sessions = 1
        asked = asyncio.create_task(one.ask(drain()))
        one.post(Close(50.0))
        with pytest.raises(HostStopping):
            await asked
        assert one.life.state is State.CLOSING
        one.post(Halt())
        await until(lambda: one.ended)
        assert held.ended_with is Code.SHUTTING_DOWN
        assert desk.saved == []


async def test_an_attendant_ends_with_its_slice_and_takes_what_was_asked_before() -> None:
    desk = Desk()
    one = desk.attendant(Step(life=Life(wish=WISH), effects=()))
    leaving = asyncio.create_task(one.ask(Leave(deadline=0.0, until=0.0)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await one.run()
    with pytest.raises(NotHeld):
        await leaving
    assert one.ended


async def test_what_cannot_happen_ends_the_task_and_leaves_nothing() -> None:
    desk = Desk()
    one = desk.attendant(revived(HELD))
    task = asyncio.create_task(one.run())
    await serving(desk, one)
    one.post(Loaded())
    with pytest.raises(IllegalState):
        await task
    assert desk.hands.memory == set()


@pytest.mark.parametrize("command", [Leave(deadline=0.0, until=0.0), drain(0.0), Undrain()])
@pytest.mark.parametrize("place", ["load", "disk", "abort", "unload", "serving"])
async def test_cancelled_anywhere_it_frees_everything_and_answers_everybody(
    place: str, command: Command
) -> None:
    desk = Desk()
    if place in ("load", "abort", "unload"):
        desk.hands.shut(place)
    one = desk.attendant(revived(HELD))
    task = asyncio.create_task(one.run())
    if place == "load":
        await until(lambda: desk.hands.waiting == ["load"])
    else:
        held = await serving(desk, one)
        held.sessions = 1
    if place == "disk":
        desk.disk.clear()
    asked = asyncio.create_task(one.ask(command))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.sleep(0.02)
    for gate in desk.hands.gates.values():
        gate.set()
    await asyncio.wait({task}, timeout=5)
    assert task.done()
    assert desk.hands.memory == set()
    await asyncio.wait({asked}, timeout=5)
    assert asked.done(), "nobody waits for ever"
    assert asked.exception() is None or isinstance(asked.exception(), HostStopping)
    with pytest.raises(HostStopping):
        await one.ask(command)
