"""A slice's life in every order of everything that can happen to it, against a model of a few lines."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.lifecycle.errors import IntentsUnwritable, LifecycleError
from node.lifecycle.happenings import (
    Aim,
    Close,
    Command,
    Counted,
    Drain,
    Freed,
    Halt,
    Join,
    Leave,
    Loaded,
    LoadFailure,
    Moment,
    Pause,
    Pauser,
    Resume,
    Undrain,
)
from node.lifecycle.table import AT_REST, FINISHING, FREE, State
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.staged_host import Killed, Memory, StagedHost
from tests.fakes.unflushed import unflushed
from wire.codes import Code
from wire.types import LayerRange

CONFIGURED = Wish(key=SliceKey("pocket", LayerRange(0, 6)))
OTHER = Wish(key=SliceKey("pocket", LayerRange(6, 12)))
WISHES = (CONFIGURED, OTHER)
KEYS = st.sampled_from([one.key for one in WISHES])
PERSON = Pauser.PERSON
WHY = LoadFailure("the hub is away", "try again")
UNTIL = 1.7e9


@dataclass(frozen=True)
class Luck:
    """How a command fares with the disk, and with `kill -9`."""

    dies_after: int | None = None
    """After so many effects."""
    disk_works: bool = True


LUCKS = (*[Luck()] * 20, *(Luck(dies_after=one) for one in range(4)), Luck(disk_works=False))
LUCK = st.sampled_from(LUCKS)
GRACES = st.sampled_from([0.0, 2.0, 20.0])


class Lives(RuleBasedStateMachine):
    """Two slices of one host, one of them configured, through any order of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(unflushed())
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.host = StagedHost(Path(folder) / "intents.json", WISHES, [CONFIGURED])
        self.aims = {CONFIGURED.key: Aim.HELD, OTHER.key: Aim.LEFT}
        self.paused = {one.key: False for one in WISHES}
        self.closing = False
        self.now = 0.0
        self.deadlines: dict[SliceKey, float] = {}
        self.budget = float("inf")
        self.disk_checked = False

    def teardown(self) -> None:
        self.stack.close()

    @initialize(busy=st.sampled_from([True, True, True, False]))
    def begins(self, busy: bool) -> None:
        """Most walks begin where there is something to lose."""
        if busy:
            self.command(OTHER.key, "join", 0.0, Luck())
            self.loads_end(works=True)
            self.sessions_are_asked_for()

    @rule(key=KEYS, luck=LUCK)
    def join(self, key: SliceKey, luck: Luck) -> None:
        self.command(key, "join", 0.0, luck)

    @rule(key=KEYS, grace_s=GRACES, luck=LUCK)
    def leave(self, key: SliceKey, grace_s: float, luck: Luck) -> None:
        self.command(key, "leave", grace_s, luck)

    @rule(key=KEYS, grace_s=GRACES, luck=LUCK)
    def drain(self, key: SliceKey, grace_s: float, luck: Luck) -> None:
        self.command(key, "drain", grace_s, luck)

    @rule(key=KEYS, luck=LUCK)
    def undrain(self, key: SliceKey, luck: Luck) -> None:
        self.command(key, "undrain", 0.0, luck)

    @rule(key=KEYS, kind=st.sampled_from(["pause", "resume"]), luck=LUCK)
    def pause(self, key: SliceKey, kind: str, luck: Luck) -> None:
        self.command(key, kind, 0.0, luck)

    def command(self, key: SliceKey, kind: str, grace_s: float, luck: Luck) -> None:
        wish = next(one for one in WISHES if one.key == key)
        self.disk_checked = False
        commands: dict[str, Command] = {
            "join": Join(wish),
            "leave": Leave(deadline=self.now + grace_s, until=UNTIL),
            "drain": Drain(deadline=self.now + grace_s, until=UNTIL),
            "undrain": Undrain(),
            "pause": Pause(PERSON),
            "resume": Resume(PERSON),
        }
        aim, before = self.aims[key], self.host.lives[key]
        refused = self.closing or {
            "join": aim is Aim.DRAINED,
            "leave": before.state is State.LEFT,
        }.get(kind, aim is Aim.LEFT)
        after, paused = self.expected(key, kind)
        answers = self.host.acknowledged
        self.host.disk_works = luck.disk_works
        try:
            self.host.happens(key, commands[kind], dies_after=luck.dies_after)
        except IntentsUnwritable:
            assert not luck.disk_works and self.host.lives[key] == before, (
                "a command that was not saved never was"
            )
        except LifecycleError:
            assert refused and self.host.lives[key] == before
            assert self.host.acknowledged == answers
        except Killed:
            acknowledged = self.host.acknowledged > answers
            self.restart()
            found = self.host.lives[key].aim, PERSON in self.host.lives[key].paused_by
            assert found == (after, paused) or (not acknowledged and found == (aim, self.paused[key]))
            self.aims[key], self.paused[key] = after, paused
            if found != (after, paused):
                self.aims[key], self.paused[key] = aim, found[1]
        else:
            assert not refused and self.host.acknowledged == answers + 1
            self.aims[key], self.paused[key] = after, paused
            if kind in ("leave", "drain"):
                self.deadlines[key] = self.now + grace_s
        finally:
            self.host.disk_works = True

    def expected(self, key: SliceKey, kind: str) -> tuple[Aim, bool]:
        """What is asked of a slice once a command holds."""
        aim, paused = self.aims[key], self.paused[key]
        if kind in ("pause", "resume"):
            return aim, kind == "pause"
        if kind == "leave":
            return Aim.LEFT, False
        return (Aim.DRAINED if kind == "drain" else Aim.HELD), paused

    @rule(works=st.sampled_from([*[True] * 6, False]))
    def loads_end(self, works: bool) -> None:
        for key in self.host.lives:
            self.load_ends(key, works)

    def load_ends(self, key: SliceKey, works: bool) -> None:
        if self.host.memory[key] is Memory.LOADING:
            self.host.memory[key] = Memory.LOADED if works else Memory.FREE
            self.host.happens(key, Loaded() if works else WHY)

    @rule()
    def memory_of_all_is_freed(self) -> None:
        for key in self.host.lives:
            self.memory_is_freed(key)

    def memory_is_freed(self, key: SliceKey) -> None:
        if self.host.memory[key] is Memory.FREEING:
            self.host.freed(key)
            self.host.happens(key, Freed())

    @rule()
    def sessions_are_asked_for(self) -> None:
        for key in self.host.lives:
            self.session_is_asked_for(key)

    def session_is_asked_for(self, key: SliceKey) -> None:
        if key in self.host.announced:
            self.host.sessions[key] += 1
        elif self.host.memory[key] is Memory.LOADED:
            assert self.host.refusing[key] is Code.DRAINING, "a refusal says why"

    @rule(key=KEYS)
    def session_ends(self, key: SliceKey) -> None:
        self.host.sessions[key] = max(0, self.host.sessions[key] - 1)

    @rule(seconds=st.sampled_from([0.0, 1.0, 1.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for key, before in list(self.host.lives.items()):
            open_before = self.host.sessions[key]
            self.host.happens(key, Counted(open_before))
            self.host.happens(key, Moment(self.now))
            if before.state in FINISHING and self.host.lives[key].state not in FINISHING and open_before:
                granted = min(self.deadlines.get(key, float("inf")), self.budget)
                assert self.now >= granted, "sessions were cut off before their time"
                code, cut_off = self.host.aborted[key]
                assert cut_off == open_before
                assert code is (Code.SHUTTING_DOWN if self.closing else Code.DRAINING)
            elif before.state in FINISHING and open_before:
                assert self.now < min(self.deadlines.get(key, float("inf")), self.budget)

    @rule(budget_s=st.sampled_from([0.0, 20.0]), chance=st.integers(0, 6))
    def signals_come(self, budget_s: float, chance: int) -> None:
        if chance == 6:
            self.first_signal(budget_s)

    def first_signal(self, budget_s: float) -> None:
        self.closing, self.budget = True, min(self.budget, self.now + budget_s)
        for key, before in list(self.host.lives.items()):
            if before.state is State.SERVING:
                self.deadlines.pop(key, None)
            self.host.happens(key, Close(self.now + budget_s))

    @precondition(lambda self: self.closing)
    @rule()
    def second_signal(self) -> None:
        for key in self.host.lives:
            self.host.happens(key, Halt())
            assert self.host.sessions[key] == 0

    @rule(chance=st.integers(0, 6))
    def is_killed(self, chance: int) -> None:
        if chance == 6:
            self.restart()

    def restart(self) -> None:
        self.host.start()
        self.closing, self.budget = False, float("inf")
        self.deadlines.clear()

    @rule()
    def comes_to_rest(self) -> None:
        """Whatever has happened, with time it ends where it was asked to end."""
        self.time_passes(400.0)
        for key in self.host.lives:
            for _ in range(3):
                self.memory_is_freed(key)
                self.load_ends(key, works=True)
            state = self.host.lives[key].state
            assert state in AT_REST
            if self.closing:
                assert state is State.CLOSED
            elif self.aims[key] is Aim.HELD:
                assert state in (State.SERVING, State.FAILED)
            else:
                assert state is (State.STOPPED if self.aims[key] is Aim.DRAINED else State.LEFT)

    @invariant()
    def a_slice_is_announced_only_while_it_is_asked_to_serve(self) -> None:
        for key in self.host.announced:
            assert not self.closing
            assert self.aims[key] is Aim.HELD and not self.paused[key]
            assert self.host.memory[key] is Memory.LOADED
        for key, one in self.host.lives.items():
            assert (key in self.host.announced) == one.announced

    @invariant()
    def stopped_means_that_no_session_is_open_and_memory_is_free(self) -> None:
        for key, one in self.host.lives.items():
            if one.state in FREE:
                assert (self.host.sessions[key], self.host.memory[key]) == (0, Memory.FREE)

    @invariant()
    def the_disk_says_what_was_acknowledged(self) -> None:
        if self.disk_checked:
            return
        self.disk_checked = True
        for wish in WISHES:
            found = self.host.on_disk(wish.key)
            unsaid = Aim.HELD if wish is CONFIGURED else Aim.LEFT
            aim, paused = (unsaid, False) if found is None else (found.aim, found.paused)
            assert (aim, paused) == (self.aims[wish.key], self.paused[wish.key])


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=50, stateful_step_count=60)


@pytest.mark.parametrize("seed", range(40))
def test_long_walks_on_which_sessions_come_and_go(seed: int) -> None:
    """The same by dice alone: Hypothesis likes short ways, and what drains with sessions open is a long one."""
    dice, one = random.Random(seed), Lives()
    one.begins(busy=True)

    def step() -> None:
        key, grace_s = dice.choice(WISHES).key, dice.choice((0.0, 2.0, 20.0))
        kind = dice.choice(("join", "leave", "drain", "drain", "undrain", "pause", "resume", "resume"))
        ways: list[tuple[int, Callable[[], None]]] = [
            (8, lambda: one.command(key, kind, grace_s, dice.choice(LUCKS))),
            (6, one.sessions_are_asked_for),
            (2, lambda: one.session_ends(key)),
            (4, lambda: one.time_passes(dice.choice((0.0, 1.0, 1.0, 15.0)))),
            (4, lambda: one.loads_end(works=dice.random() < 0.9)),
            (2, lambda: one.memory_is_freed(key)),
            (1, lambda: one.first_signal(dice.choice((0.0, 20.0)))),
            (2 if one.closing else 0, one.restart),
            (1 if one.closing else 0, one.second_signal),
            (1, one.comes_to_rest),
        ]
        dice.choices([way for _, way in ways], [weight for weight, _ in ways])[0]()

    try:
        for _ in range(120):
            step()
            one.a_slice_is_announced_only_while_it_is_asked_to_serve()
            one.stopped_means_that_no_session_is_open_and_memory_is_free()
            one.the_disk_says_what_was_acknowledged()
    finally:
        one.teardown()
