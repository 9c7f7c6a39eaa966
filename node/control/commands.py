"""The table of commands: what can be asked for, with what arguments, and what comes back.

A command is a value, so that a request for `JOIN` is checked to be given `JoinArguments` and to yield `Joined`. A host
offers what `Handlers` names; whatever it leaves out is answered `unsupported`.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypedDict, TypeVar

from node.control.arguments import (
    DrainArguments,
    JoinArguments,
    LogsArguments,
    NoArguments,
    SliceArguments,
    StopArguments,
)
from node.control.codes import ErrorCode
from node.control.errors import BadRequest, Unfit
from node.control.kinds import shown
from node.control.results import (
    Changed,
    Drained,
    DrainProgress,
    Hosting,
    Joined,
    JoinProgress,
    LogRecord,
    LogsEnd,
    Metrics,
    Peers,
    Reloaded,
    Sessions,
    Status,
    Stopping,
)
from node.control.shapes import parts

A = TypeVar("A")
P = TypeVar("P")
R = TypeVar("R")
_COMPARED_CHARS: Final = 64
"""Security limit: names are compared with others at the price of their lengths' product."""
_NOTHING_CHANGES: Final = "nothing changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[A, P, R]):
    """One thing that can be asked for."""

    name: str
    summary: str
    """What it does, in a sentence without its full stop."""
    arguments: type[A]
    progress: type[P]
    """What is told before the result; `Nothing` of a command that answers at once."""
    result: type[R]
    cancelled: str = _NOTHING_CHANGES
    """What it means to give it up."""

    @property
    def is_long(self) -> bool:
        """Whether it tells its progress, and may take any time."""
        return self.progress is not Nothing


@dataclass(frozen=True, slots=True)
class Nothing:
    """The progress of commands that answer at once."""


STATUS: Final = Command(
    name="status",
    summary="Tell what the host does now",
    arguments=NoArguments,
    progress=Nothing,
    result=Status,
)
HOSTING: Final = Command(
    name="hosting",
    summary="Tell all about each slice",
    arguments=NoArguments,
    progress=Nothing,
    result=Hosting,
)
JOIN: Final = Command(
    name="join",
    summary="Load layers of a model beside those that are served, and serve them, now and after every restart",
    arguments=JoinArguments,
    progress=JoinProgress,
    result=Joined,
    cancelled="the slice is given up and its memory freed",
)
LEAVE: Final = Command(
    name="leave",
    summary="Drain slices and forget them: they are not loaded again until they are joined",
    arguments=DrainArguments,
    progress=DrainProgress,
    result=Drained,
    cancelled="the host goes on leaving",
)
DRAIN: Final = Command(
    name="drain",
    summary="Take no new sessions, let those under way finish within the grace, then free the memory; "
    "holds over restarts until `undrain`",
    arguments=DrainArguments,
    progress=DrainProgress,
    result=Drained,
    cancelled="the host goes on draining",
)
UNDRAIN: Final = Command(
    name="undrain",
    summary="Serve drained slices again",
    arguments=SliceArguments,
    progress=JoinProgress,
    result=Changed,
    cancelled="what is not loaded yet stays drained",
)
PAUSE: Final = Command(
    name="pause",
    summary="Take no new sessions until `resume`; weights stay in memory",
    arguments=NoArguments,
    progress=Nothing,
    result=Changed,
)
RESUME: Final = Command(
    name="resume",
    summary="End a pause, whoever began it",
    arguments=NoArguments,
    progress=Nothing,
    result=Changed,
)
PEERS: Final = Command(
    name="peers",
    summary="List the peers that are linked",
    arguments=NoArguments,
    progress=Nothing,
    result=Peers,
)
SESSIONS: Final = Command(
    name="sessions",
    summary="List the sessions that are open",
    arguments=NoArguments,
    progress=Nothing,
    result=Sessions,
)
METRICS: Final = Command(
    name="metrics",
    summary="Tell every measured value",
    arguments=NoArguments,
    progress=Nothing,
    result=Metrics,
)
LOGS: Final = Command(
    name="logs",
    summary="Tell the latest log records, and new ones as they come",
    arguments=LogsArguments,
    progress=LogRecord,
    result=LogsEnd,
)
RELOAD: Final = Command(
    name="reload",
    summary="Read the configuration again, and tell what took effect and what needs a restart",
    arguments=NoArguments,
    progress=Nothing,
    result=Reloaded,
)
STOP: Final = Command(
    name="stop",
    summary="End the host after the sessions under way; it serves the same again when it is started",
    arguments=StopArguments,
    progress=Nothing,
    result=Stopping,
    cancelled="the host stops all the same",
)
COMMANDS: Final[Mapping[str, Command[Any, Any, Any]]] = {
    one.name: one
    for one in (
        STATUS, HOSTING, JOIN, LEAVE, DRAIN, UNDRAIN, PAUSE, RESUME, PEERS, SESSIONS, METRICS, LOGS, RELOAD, STOP
    )
}  # fmt: skip

Tell = Callable[[P], Awaitable[None]]
"""Sends a line of progress to the client; waits while it does not read."""
Handler = Callable[[A, Tell[P]], Awaitable[R]]
"""Does what a command asks for. Raises `NodeError` when it cannot, whose words the client gets as `failed`. It is
cancelled when the client gives up or goes away, and when the host ends."""


class Handlers(TypedDict, total=False):
    """What does the work, by command."""

    status: Handler[NoArguments, Nothing, Status]
    hosting: Handler[NoArguments, Nothing, Hosting]
    join: Handler[JoinArguments, JoinProgress, Joined]
    leave: Handler[DrainArguments, DrainProgress, Drained]
    drain: Handler[DrainArguments, DrainProgress, Drained]
    undrain: Handler[SliceArguments, JoinProgress, Changed]
    pause: Handler[NoArguments, Nothing, Changed]
    resume: Handler[NoArguments, Nothing, Changed]
    peers: Handler[NoArguments, Nothing, Peers]
    sessions: Handler[NoArguments, Nothing, Sessions]
    metrics: Handler[NoArguments, Nothing, Metrics]
    logs: Handler[LogsArguments, LogRecord, LogsEnd]
    reload: Handler[NoArguments, Nothing, Reloaded]
    stop: Handler[StopArguments, Nothing, Stopping]


def find(name: object) -> Command[Any, Any, Any]:
    """The command of a name. Raises `BadRequest` with what may have been meant."""
    command = COMMANDS.get(name) if isinstance(name, str) else None
    if command is None:
        raise BadRequest(
            ErrorCode.UNKNOWN_COMMAND, f"there is no command {shown(name)}", suggestion(name, COMMANDS)
        )
    return command


def read_arguments(command: Command[A, P, R], raw: object) -> A:
    """The arguments in an object that JSON gave, strictly checked.

    Raises:
        BadRequest: one is unknown, missing, or does not fit; the cause names it.
    """
    table = parts(command.arguments)
    if not isinstance(raw, dict):
        raise BadRequest(
            ErrorCode.BAD_ARGUMENT, f"the arguments are {shown(raw)}", "give an object of arguments by name"
        )
    for name in raw:
        if name not in table:
            cause = f"{command.name} has no argument {shown(name)}"
            raise BadRequest(ErrorCode.UNKNOWN_ARGUMENT, cause, suggestion(name, table))
    values = {}
    for name, part in table.items():
        if name in raw:
            try:
                values[name] = part.kind.read(raw[name])
            except Unfit as error:
                cause = f"{name} of {command.name}: {error.cause}"
                raise BadRequest(ErrorCode.BAD_ARGUMENT, cause, error.next_step) from error
        elif part.required:
            cause = f"{command.name} needs the argument {name}"
            raise BadRequest(ErrorCode.MISSING_ARGUMENT, cause, f"give {name}: {part.meaning}")
    return command.arguments(**values)


def suggestion(name: object, known: Iterable[str]) -> str:
    """The next step after a name that is not known: what may have been meant, or all there is."""
    names = list(known)
    near = difflib.get_close_matches(str(name)[:_COMPARED_CHARS], names, 1) if isinstance(name, str) else []
    if near:
        return f"did you mean {near[0]}?"
    return f"there is {', '.join(names)}" if names else "leave it out: this command has no arguments"
