"""What can stand in the way of a slice's life, each with the next step.

NodeError
└── LifecycleError
    ├── NotHeld               there is no such slice here
    ├── StillDraining         it was asked to drain, and only undraining it brings it back
    ├── BeingLeft             it is on its way out, and only joining it again keeps it
    ├── HeldOtherwise         it is held with other weights
    ├── HostStarting          the process has just begun
    ├── HostStopping          the process is ending
    ├── OutOfBounds           a grace or a budget that cannot be
    ├── TooMany               slices, commands or watchers; the bound says of which
    ├── LoadFailed            it could not be brought or loaded; its memory is free again
    ├── Overtaken             another command came in between
    └── IntentsError          the file of what was asked of this host; `path` says which
        ├── IntentsDamaged    it does not say what was asked
        ├── IntentsUnreadable the system does not let us read it
        └── IntentsUnwritable the disk did not take it, so nothing was acknowledged
"""

from __future__ import annotations

from pathlib import Path

from node.errors import NodeError


class LifecycleError(NodeError):
    """A slice cannot do what was asked of it."""


class NotHeld(LifecycleError):
    """There is no such slice here."""


class StillDraining(LifecycleError):
    """The slice was asked to drain; joining does not undo that, so that nothing but a person's word does."""


class BeingLeft(LifecycleError):
    """The slice is on its way out."""


class HeldOtherwise(LifecycleError):
    """The slice is held already, with other weights."""


class HostStarting(LifecycleError):
    """The process has just begun and takes no commands yet."""


class HostStopping(LifecycleError):
    """The process is ending and takes no commands."""


class OutOfBounds(LifecycleError):
    """A time that cannot be granted."""


class TooMany(LifecycleError):
    """A bound of this host is reached."""


class LoadFailed(LifecycleError):
    """A slice could not be brought here or loaded."""


class Overtaken(LifecycleError):
    """Another command ended what was waited for."""


class IntentsError(LifecycleError):
    """The file of what was asked of this host stands in the way."""

    def __init__(self, path: Path, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.path = path


class IntentsDamaged(IntentsError):
    """The file does not say what was asked, so that every slice counts as draining."""


class IntentsUnreadable(IntentsError):
    """The file cannot be read."""


class IntentsUnwritable(IntentsError):
    """The file cannot be written; what was asked is not acknowledged."""
