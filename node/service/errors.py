"""Why the service cannot be installed, looked at or removed, each with the next step.

NodeError
└── ServiceError
    ├── NoSystemd          systemd does not run this machine, or is not installed
    ├── SystemdTooOld      it lacks what the unit is written with
    ├── NoUserManager      it does, but the part that runs this user's services cannot be reached
    ├── NotAllowed         it refused
    ├── SystemdFailed      a program of it failed in another way; `words` and `exit_status` say which and how
    │   └── SystemdSilent  it did not answer in time
    ├── ForeignUnit        the unit's name is taken by a file that is not ours; `path` says which
    ├── NotInstalled       there is no such service
    ├── NothingLogged      the journal has nothing to show of it
    ├── FolderTooWide      it would have to be let write to more than is its own
    ├── UnwritableWord     a word cannot be written in a unit file
    ├── FileNotWritten     the disk does not take a file or folder
    ├── UnitNotLoaded      systemd does not take the unit file
    ├── StartFailed        the host ended before it was ready; `lines` are the last of its journal
    ├── NotReadyYet        the host still starts, and goes on with it
    └── NotStopped         the host does not end
"""

from __future__ import annotations

from pathlib import Path

from node.errors import NodeError


class ServiceError(NodeError):
    """The service is not as it was asked to be."""


class NoSystemd(ServiceError):
    """This machine is not run by systemd."""


class SystemdTooOld(ServiceError):
    """This machine's systemd lacks what the unit is written with."""


class NoUserManager(ServiceError):
    """The systemd that runs this user's services cannot be reached."""


class NotAllowed(ServiceError):
    """Systemd refused what was asked."""


class SystemdFailed(ServiceError):
    """A program of systemd could not do what was asked."""

    def __init__(self, words: tuple[str, ...], cause: str, next_step: str, exit_status: int | None) -> None:
        super().__init__(cause, next_step)
        self.words = words
        self.exit_status = exit_status
        """None when it did not end by itself."""


class SystemdSilent(SystemdFailed):
    """A program of systemd did not answer in time."""


class ForeignUnit(ServiceError):
    """A unit of this name is there that Lamella did not write."""

    def __init__(self, path: Path, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.path = path


class NotInstalled(ServiceError):
    """The service is not installed."""


class NothingLogged(ServiceError):
    """The journal has nothing of the service."""


class FolderTooWide(ServiceError):
    """The service would have to be let write to more than is its own."""


class UnwritableWord(ServiceError):
    """A word has no spelling in a unit file."""


class FileNotWritten(ServiceError):
    """The disk does not take a file or folder of the service."""


class UnitNotLoaded(ServiceError):
    """Systemd does not take the unit file."""


class StartFailed(ServiceError):
    """The host ended before it was ready."""

    def __init__(self, cause: str, next_step: str, lines: tuple[str, ...]) -> None:
        super().__init__(cause, next_step)
        self.lines = lines
        """The end of what it wrote."""


class NotReadyYet(ServiceError):
    """The host still starts."""


class NotStopped(ServiceError):
    """The host was told to stop, and did not within its time."""
