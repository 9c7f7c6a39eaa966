"""What follows what in a slice's life, one step at a time; `tests/simulation/test_slice_lives.py` has every order."""

from __future__ import annotations

import pytest

from node.lifecycle.errors import (
    BeingLeft,
    HeldOtherwise,
    HostStopping,
    LifecycleError,
    NotHeld,
    StillDraining,
)
from node.lifecycle.happenings import (
    Acknowledge,
    Aim,
    Announce,
    Asker,
    Close,
    Command,
    Counted,
    Drain,
    Free,
    Freed,
    Halt,
    Happening,
    Intent,
    Join,
    Leave,
    Load,
    Loaded,
    LoadFailure,
    Moment,
    Pause,
    Pauser,
    Resume,
    Save,
    Undrain,
    Withdraw,
)
from node.lifecycle.machine import Life, revived
from node.lifecycle.table import FINISHING, TABLE, Input, State
from node.lifecycle.wishes import SliceKey, Wish
from wire.codes import Code
from wire.errors import IllegalState
from wire.tensors import WeightFormat
from wire.types import LayerRange

CONFIGURED = Wish(key=SliceKey("pocket", LayerRange(0, 6)))
PERSON = Pauser.PERSON
WHY = LoadFailure("the hub is away", "try again")
UNTIL = 1.7e9


def leave(deadline: float = 300.0) -> Leave:
    return Leave(deadline=deadline, until=UNTIL)


def drain(deadline: float = 300.0) -> Drain:
    return Drain(deadline=deadline, until=UNTIL)


INPUTS: dict[Input, Happening] = {
    Input.JOIN: Join(CONFIGURED),
    Input.LEAVE: leave(),
    Input.DRAIN: drain(),
    Input.UNDRAIN: Undrain(),
    Input.PAUSE: Pause(Pauser.MACHINE),
    Input.RESUME: Resume(Pauser.MACHINE),
    Input.LOADED: Loaded(),
    Input.LOAD_FAILED: WHY,
    Input.IDLE: Counted(0),
    Input.DEADLINE: Moment(1e9),
    Input.FREED: Freed(),
    Input.CLOSE: Close(30.0),
    Input.HALT: Halt(),
}


def life(state: State, **changes: object) -> Life:
    return Life(wish=CONFIGURED, state=state, deadline=100.0, **changes)  # type: ignore[arg-type]  # fields of Life


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("what", Input)
def test_every_pair_of_the_table_leads_where_it_says_and_every_other_is_refused(
    state: State, what: Input
) -> None:
    before = life(state)
    harmless = what in (Input.IDLE, Input.DEADLINE) and state not in FINISHING
    if harmless:
        assert before.after(INPUTS[what]).life == before, "counting and time concern those that finish"
    elif (state, what) in TABLE:
        assert before.after(INPUTS[what]).life.state is TABLE[state, what]
        assert before.allows(what)
    else:
        expected = LifecycleError if isinstance(INPUTS[what], Command) else IllegalState
        with pytest.raises(expected):
            before.after(INPUTS[what])
        assert not before.allows(what)


def test_every_input_is_tried() -> None:
    assert set(INPUTS) == set(Input)


@pytest.mark.parametrize(
    ("state", "command", "error", "words"),
    [
        (State.LEFT, leave(), NotHeld, "join it first"),
        (State.STOPPED, Join(CONFIGURED), StillDraining, "undrain it"),
        (State.DRAINING, Join(CONFIGURED), StillDraining, "undrain it"),
        (State.LEAVING, Undrain(), BeingLeft, "join it to keep it"),
        (State.CLEARING, drain(), BeingLeft, "join it to keep it"),
        (State.LEAVING, Pause(PERSON), BeingLeft, "join it to keep it"),
        (State.CLOSING, leave(), HostStopping, "start it again"),
        (State.SERVING, Join(Wish(key=CONFIGURED.key, weights=WeightFormat.INT8)), HeldOtherwise, "leave it"),
    ],
)
def test_a_command_that_is_refused_says_what_to_do_instead(
    state: State, command: Command, error: type[LifecycleError], words: str
) -> None:
    with pytest.raises(error, match=words):
        life(state).after(command)


def test_draining_saves_withdraws_and_only_then_acknowledges() -> None:
    step = life(State.SERVING).after(drain())
    saved = Save(Intent(wish=CONFIGURED, aim=Aim.DRAINED, until=UNTIL))
    assert step.effects == (saved, Withdraw(Code.DRAINING), Acknowledge())
    assert step.life.state is State.DRAINING


def test_a_drained_slice_frees_its_memory_once_its_sessions_have_ended() -> None:
    draining = life(State.DRAINING)
    assert draining.after(Counted(2)).life == draining
    assert draining.after(Counted(0)).effects == (Free(Code.DRAINING),)


def test_a_grace_that_has_passed_ends_what_is_left_and_not_a_moment_before() -> None:
    draining = life(State.DRAINING)
    assert draining.after(Moment(99.9)).life == draining
    assert draining.after(Moment(100.0)).effects == (Free(Code.DRAINING),)


def test_draining_again_grants_another_grace() -> None:
    again = life(State.DRAINING).after(drain(500.0))
    assert again.life.deadline == 500.0
    assert Acknowledge() in again.effects


def test_undraining_brings_back_at_once_what_is_loaded_and_by_loading_what_is_not() -> None:
    assert Announce() in life(State.DRAINING).after(Undrain()).effects
    stopping = life(State.STOPPING).after(Undrain()).life
    assert stopping.after(Freed()).effects == (Load(CONFIGURED),)
    assert life(State.STOPPED).after(Undrain()).effects[-1] == Load(CONFIGURED)


def test_a_signal_saves_nothing_and_shortens_a_grace_but_never_lengthens_one() -> None:
    closing = life(State.SERVING).after(Close(30.0))
    assert (closing.life.deadline, closing.effects) == (30.0, (Withdraw(Code.DRAINING),))
    assert life(State.DRAINING).after(Close(30.0)).life.deadline == 30.0
    assert life(State.LEAVING).after(Close(900.0)).life.deadline == 100.0
    assert closing.life.after(Moment(30.0)).effects == (Free(Code.SHUTTING_DOWN),)


def test_a_second_signal_ends_sessions_now() -> None:
    assert life(State.CLOSING).after(Halt()).effects == (Free(Code.SHUTTING_DOWN),)
    assert life(State.SERVING).after(Halt()).effects == (
        Withdraw(Code.DRAINING),
        Free(Code.SHUTTING_DOWN),
    )
    assert life(State.STOPPING).after(Halt()).effects == (), "it is being freed already"


def test_a_paused_slice_is_announced_when_nobody_pauses_it_any_more() -> None:
    paused = life(State.SERVING).after(Pause(Pauser.MACHINE))
    assert paused.effects == (Withdraw(Code.DRAINING), Acknowledge()), "the machine's reasons are not kept"
    twice = paused.life.after(Pause(PERSON))
    assert twice.effects == (Save(Intent(wish=CONFIGURED, aim=Aim.HELD, paused=True)), Acknowledge())
    assert twice.life.after(Resume(Pauser.MACHINE)).effects == (Acknowledge(),)
    assert Announce() in twice.life.after(Resume(Pauser.MACHINE)).life.after(Resume(PERSON)).effects


def test_what_is_loaded_while_paused_refuses_sessions_and_is_not_announced() -> None:
    loaded = life(State.LOADING, paused_by=frozenset({Pauser.MACHINE})).after(Loaded())
    assert loaded.effects == (Withdraw(Code.DRAINING),)
    assert not loaded.life.announced


def test_joining_what_was_left_forgets_that_a_person_paused_it_and_not_what_the_machine_is_at() -> None:
    left = life(State.LEAVING, paused_by=frozenset(Pauser)).after(Join(CONFIGURED))
    assert left.life.paused_by == {Pauser.MACHINE}


def test_a_load_that_failed_is_told_and_tried_again_by_joining() -> None:
    failed = life(State.LOADING).after(WHY).life
    assert (failed.state, failed.failure) == (State.FAILED, WHY)
    again = failed.after(Join(CONFIGURED))
    assert again.life.failure is None
    assert again.effects[-1] == Load(CONFIGURED)


def test_what_a_host_chose_is_asked_for_by_what_a_person_says_of_it_only() -> None:
    life = Life(wish=CONFIGURED).after(Join(CONFIGURED, Asker.HOST)).life.after(Loaded()).life

    def saved(happening: Happening) -> bool:
        (save,) = (one for one in life.after(happening).effects if isinstance(one, Save))
        return save.intent.joined

    assert not saved(Leave(deadline=0.0, until=UNTIL))
    assert saved(drain()) and saved(Pause(PERSON)) and saved(Join(CONFIGURED))
    assert not saved(Join(CONFIGURED, Asker.NOBODY))
    life = life.after(drain()).life
    assert not saved(Undrain()), "then it is as it was"


@pytest.mark.parametrize(
    ("aim", "state"), [(Aim.HELD, State.LOADING), (Aim.DRAINED, State.STOPPED), (Aim.LEFT, State.LEFT)]
)
def test_a_new_process_does_what_was_asked_of_the_last(aim: Aim, state: State) -> None:
    step = revived(Intent(wish=CONFIGURED, aim=aim, joined=True, paused=True))
    assert step.life.state is state
    assert step.life.paused_by == {PERSON}
    assert step.effects == ((Load(CONFIGURED),) if aim is Aim.HELD else ())
