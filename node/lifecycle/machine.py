"""The life of one slice at one host, as a value: no clock, disk, task or tensor. Legal orders: `table`.

`Life.after(happening)` gives the life that follows and what is to be done, in this order. Nothing is changed in
place, so whoever cannot do the first thing, which may be to save an intent, drops the step and goes on with the life
it had. What must hold, whatever happens in whatever order:

- it is announced only while it serves and nobody pauses it; what drains comes back by undraining it and nothing else;
- what is acknowledged was saved before;
- its memory is freed after its sessions have ended or were ended with a code, those of this slice alone;
- that the process ends changes nothing of what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

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
    Effect,
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
from node.lifecycle.table import COMMANDS, FINISHING, FREEING, TABLE, Input, State
from node.lifecycle.wishes import Wish
from wire.codes import Code
from wire.errors import IllegalState

_AIMS: Final[Mapping[State, Aim]] = {
    State.LEFT: Aim.LEFT,
    State.LEAVING: Aim.LEFT,
    State.CLEARING: Aim.LEFT,
    State.DRAINING: Aim.DRAINED,
    State.STOPPING: Aim.DRAINED,
    State.STOPPED: Aim.DRAINED,
    State.LOADING: Aim.HELD,
    State.SERVING: Aim.HELD,
    State.RENEWING: Aim.HELD,
    State.FAILED: Aim.HELD,
}
"""What a state means after a restart. Those of a process that ends are not here: they mean what came before them."""
_HOLDING: Final = frozenset({State.LOADING, State.SERVING, State.LEAVING, State.RENEWING})
"""States in which joining keeps what is there, or what is coming, instead of loading what the command asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One slice at one host, at one moment."""

    wish: Wish
    state: State = State.LEFT
    joined: bool = False
    """Whether a person has asked for it by a command."""
    chosen: bool = False
    """Whether the host chose it by itself."""
    paused_by: frozenset[Pauser] = frozenset()
    deadline: float | None = None
    """Until when its sessions may end."""
    until: float | None = None
    """The same as Unix time, when a person asked for it."""
    failure: LoadFailure | None = None
    """Why it is not served."""

    @property
    def announced(self) -> bool:
        """Whether peers are told of it and may open sessions on it."""
        return self.state is State.SERVING and not self.paused_by

    @property
    def aim(self) -> Aim | None:
        """What is asked of it now, and after a restart; None while its process ends, when that is as it was before."""
        return _AIMS.get(self.state)

    def allows(self, what: Input) -> bool:
        """Whether this may happen now."""
        return (self.state, what) in TABLE

    def after(self, happening: Happening) -> Step:
        """Return what follows.

        Raises:
            LifecycleError: a command that the state forbids.
            IllegalState: something else that cannot happen in this state; a defect of the caller.
        """
        life = _HANDLERS[type(happening)](self, happening)
        return Step(life=life, effects=_effects(self, life, happening))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A life, and what is to be done to make it true."""

    life: Life
    effects: tuple[Effect, ...]


def revived(intent: Intent, *, paused_by: frozenset[Pauser] = frozenset()) -> Step:
    """Return the life of a slice in a process that has just begun.

    No session outlives its process, so nothing is left to wait for: what was draining is stopped, and stays so.

    Args:
        intent: what was asked, from the disk or the configuration.
        paused_by: whoever else keeps it from being announced.
    """
    if intent.paused:
        paused_by |= {Pauser.PERSON}
    state = {Aim.HELD: State.LOADING, Aim.DRAINED: State.STOPPED, Aim.LEFT: State.LEFT}[intent.aim]
    life = Life(wish=intent.wish, state=state, joined=intent.joined, paused_by=paused_by, until=intent.until)
    return Step(life=life, effects=(Load(life.wish),) if state is State.LOADING else ())


def _moved(life: Life, what: Input, **changes: Any) -> Life:
    state = TABLE.get((life.state, what))
    if state is None:
        raise _refused(life, what)
    return replace(life, state=state, **changes)


def _join(life: Life, join: Join) -> Life:
    after = _moved(life, Input.JOIN, wish=join.wish, deadline=None, until=None, failure=None)
    after = replace(after, joined=life.joined or join.by is Asker.PERSON)
    after = replace(after, chosen=life.chosen or join.by is Asker.HOST)
    if join.wish != life.wish and life.state in _HOLDING:
        raise HeldOtherwise(f"{life.wish.key} is held with other weights", "leave it first, then join it")
    if life.aim is Aim.LEFT:
        after = replace(after, paused_by=life.paused_by - {Pauser.PERSON})
    return after


def _finish(what: Input) -> Callable[[Life, Leave | Drain], Life]:
    def finish(life: Life, asked: Leave | Drain) -> Life:
        return _moved(life, what, deadline=asked.deadline, until=asked.until, failure=None)

    return finish


def _undrain(life: Life, _: Undrain) -> Life:
    return _moved(life, Input.UNDRAIN, deadline=None, until=None)


def _pause(life: Life, pause: Pause | Resume) -> Life:
    what = Input.PAUSE if isinstance(pause, Pause) else Input.RESUME
    if pause.by is Pauser.PERSON and life.aim is Aim.LEFT:
        raise _refused(life, what)  # There would be nothing to keep it for.
    pausing = life.paused_by | {pause.by} if isinstance(pause, Pause) else life.paused_by - {pause.by}
    return _moved(life, what, paused_by=pausing)


def _failed(life: Life, failure: LoadFailure) -> Life:
    return _moved(life, Input.LOAD_FAILED, failure=failure)


def _counted(life: Life, counted: Counted) -> Life:
    return _moved(life, Input.IDLE) if counted.sessions == 0 and life.state in FINISHING else life


def _moment(life: Life, moment: Moment) -> Life:
    if life.state not in FINISHING or life.deadline is None or moment.now < life.deadline:
        return life
    return _moved(life, Input.DEADLINE)


def _close(life: Life, close: Close) -> Life:
    deadline = close.deadline
    if life.state in FINISHING and life.deadline is not None:
        deadline = min(deadline, life.deadline)
    return _moved(life, Input.CLOSE, deadline=deadline)


_HANDLERS: Final[Mapping[type[Happening], Callable[[Life, Any], Life]]] = {
    Join: _join,
    Leave: _finish(Input.LEAVE),
    Drain: _finish(Input.DRAIN),
    Undrain: _undrain,
    Pause: _pause,
    Resume: _pause,
    Loaded: lambda life, _: _moved(life, Input.LOADED),
    LoadFailure: _failed,
    Counted: _counted,
    Moment: _moment,
    Freed: lambda life, _: _moved(life, Input.FREED),
    Close: _close,
    Halt: lambda life, _: _moved(life, Input.HALT),
}


def _effects(before: Life, after: Life, happening: Happening) -> tuple[Effect, ...]:
    """What turns one life into the next. Nothing depends on the way between the two, so no way can forget a part."""
    effects: list[Effect] = []
    command = isinstance(happening, Command)
    by_machine = isinstance(happening, Pause | Resume) and happening.by is Pauser.MACHINE
    if command and not by_machine:
        effects.append(Save(_intent(after)))
    if after.announced and not before.announced:
        effects.append(Announce())
    arrived_paused = isinstance(happening, Loaded) and not after.announced
    if arrived_paused or (before.announced and not after.announced):
        effects.append(Withdraw(Code.DRAINING))
    if command:
        effects.append(Acknowledge())
    if after.state is State.LOADING and before.state is not State.LOADING:
        effects.append(Load(after.wish))
    if after.state in FREEING and before.state not in FREEING:
        effects.append(Free(Code.SHUTTING_DOWN if after.state is State.ENDING else Code.DRAINING))
    return tuple(effects)


def _intent(life: Life) -> Intent:
    aim = _AIMS[life.state]
    paused = Pauser.PERSON in life.paused_by and aim is not Aim.LEFT
    # What a person says of a slice that was chosen outlives the choice.
    said = life.chosen and (paused or aim is Aim.DRAINED)
    return Intent(
        wish=life.wish,
        aim=aim,
        joined=life.joined or said,
        paused=paused,
        until=life.until,
    )


def _refused(life: Life, what: Input) -> LifecycleError | IllegalState:
    key, state = life.wish.key, life.state
    if what not in COMMANDS:
        return IllegalState(f"{what.value} cannot happen to {key}, which is {state.value}")
    aim = life.aim
    if aim is None:
        return HostStopping("the host is stopping", "start it again, and ask then")
    if aim is Aim.DRAINED:
        return StillDraining(f"{key} is {state.value}", "undrain it to have it served again")
    if state is State.LEFT:
        return NotHeld(f"{key} is not held here", "join it first")
    return BeingLeft(f"{key} is being left", "join it to keep it")
