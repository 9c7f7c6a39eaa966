"""What can happen to a slice, and what is to be done about it: the values that the machine takes and gives.

Times are seconds of a clock that nobody sets (`time.monotonic`); `until` alone is Unix time, and is only told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.lifecycle.wishes import Wish
from wire.codes import Code


class Pauser(Enum):
    """Who keeps a slice from being announced. It is announced again when nobody does any more."""

    PERSON = "person"
    """By a command; it lasts until the person resumes it, restarts included."""
    MACHINE = "machine"
    """The hours of the day, the battery, other work: found out anew at every start."""


class Aim(Enum):
    """What was asked of a host about one slice."""

    HELD = "held"
    DRAINED = "drained"
    """Wanted, but not to be served until it is undrained."""
    LEFT = "left"
    """Not wanted, whatever the configuration says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What was asked about one slice, as it is kept on disk."""

    wish: Wish
    aim: Aim
    joined: bool = False
    """Whether a command asked for it; else only the configuration does."""
    paused: bool = False
    """Whether a person paused it."""
    until: float | None = None
    """Unix time by which its sessions were to end; told to people, and by nothing here acted on."""


class Asker(Enum):
    """Who wants a slice."""

    PERSON = "person"
    HOST = "host"
    """It chooses again at the next start, unless a person has asked something of this slice."""
    NOBODY = "nobody"
    """It was wanted before, and is tried again."""


@dataclass(frozen=True, slots=True)
class Join:
    """This slice is wanted."""

    wish: Wish
    by: Asker = Asker.PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A person does not want the slice any more; its sessions may end until `deadline`."""

    deadline: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A person wants it to stop serving, and to be kept for later; its sessions may end until `deadline`."""

    deadline: float
    until: float


@dataclass(frozen=True, slots=True)
class Undrain:
    """A person wants a drained slice to serve again."""


@dataclass(frozen=True, slots=True)
class Pause:
    """It is to take no new sessions until the same one resumes it; nothing else changes."""

    by: Pauser


@dataclass(frozen=True, slots=True)
class Resume:
    """This one does not pause it any more."""

    by: Pauser


@dataclass(frozen=True, slots=True)
class Loaded:
    """It is in memory, whole."""


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """It could not be brought or loaded, and nothing of it is in memory."""

    cause: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Counted:
    """So many sessions of it were open, when new ones had been refused for as long as the state says so."""

    sessions: int


@dataclass(frozen=True, slots=True)
class Moment:
    """It is `now`."""

    now: float


@dataclass(frozen=True, slots=True)
class Freed:
    """No session of it is open and its memory is free."""


@dataclass(frozen=True, slots=True)
class Close:
    """The process is to end; sessions may end until `deadline`. Not leaving: after a start it serves again."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Halt:
    """The process is to end now."""


Command = Join | Leave | Drain | Undrain | Pause | Resume
"""What is answered with `Acknowledge`, or refused."""
Happening = Command | Loaded | LoadFailure | Counted | Moment | Freed | Close | Halt


@dataclass(frozen=True, slots=True)
class Save:
    """Put this on disk for good before anything else; if that fails, the command never was."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell peers of it and take sessions on it."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take its record back at once and refuse new sessions with `code`."""

    code: Code


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell whoever gave the command that it holds."""


@dataclass(frozen=True, slots=True)
class Load:
    """Bring it here and into memory; then tell `Loaded` or `LoadFailure`."""

    wish: Wish


@dataclass(frozen=True, slots=True)
class Free:
    """Give up loading it, end its sessions that are left with `code`, free its memory; then tell `Freed`."""

    code: Code


Effect = Save | Announce | Withdraw | Acknowledge | Load | Free
