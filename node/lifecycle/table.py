"""The legal orders of a slice's life at one host, as data and nothing else.

A pair that is missing is illegal: a command is refused with the state's own error, and from our own program it raises
`IllegalState`. Pausing is no state: it keeps a slice that serves from being announced, whatever else it does.

    LEFT -> LOADING -> SERVING -> DRAINING -> STOPPING -> STOPPED     undrain leads back: at once, or by loading again
                          |   -> LEAVING  -> CLEARING -> LEFT        join leads back
                          |   -> CLOSING  -> ENDING   -> CLOSED      the process ends; what was asked of it stays

Rejected: one state for memory that is being freed, with a field for what comes after. Where it leads would then not
be in this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """Where a slice is; the value is the word for people."""

    LEFT = "left"
    """Nothing of it is here and nothing is wanted: where all begin."""
    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    """Its sessions may end within the grace; then it stays stopped until it is undrained."""
    STOPPING = "stopping"
    """No session is left; its memory is being freed, and it is `STOPPED` then."""
    STOPPED = "stopped"
    """Wanted, but drained: no session of it is open and its memory is free."""
    LEAVING = "leaving"
    """As `DRAINING`, and it is forgotten then."""
    CLEARING = "clearing"
    """As `STOPPING`, and it is forgotten then."""
    RENEWING = "renewing"
    """Its memory is being freed, and it is loaded again then."""
    FAILED = "failed"
    """Wanted, but it could not be loaded; its memory is free."""
    CLOSING = "closing"
    """The process ends, and its sessions may end within the process's own budget."""
    ENDING = "ending"
    """The process ends and its memory is being freed."""
    CLOSED = "closed"
    """Nothing is left of it in this process."""


class Input(Enum):
    """What can happen to it: commands of people, then the host's own doing, then signals."""

    JOIN = "join"
    LEAVE = "leave"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    PAUSE = "pause"
    RESUME = "resume"
    LOADED = "loaded"
    LOAD_FAILED = "load failed"
    IDLE = "idle"
    """No session of it is open any more."""
    DEADLINE = "deadline"
    FREED = "freed"
    CLOSE = "close"
    """The first signal."""
    HALT = "halt"
    """The second signal."""


COMMANDS: Final = frozenset({Input.JOIN, Input.LEAVE, Input.DRAIN, Input.UNDRAIN, Input.PAUSE, Input.RESUME})
FINISHING: Final = frozenset({State.DRAINING, State.LEAVING, State.CLOSING})
"""It takes no new sessions, and those under way may end."""
FREEING: Final = frozenset({State.STOPPING, State.CLEARING, State.RENEWING, State.ENDING})
"""Its sessions are being ended and its memory freed."""
FREE: Final = frozenset({State.LEFT, State.STOPPED, State.FAILED, State.CLOSED})
"""No session of it is open and nothing of it is in memory."""
AT_REST: Final = FREE | {State.SERVING}
"""It stays so until something is asked of it."""

TABLE: Mapping[tuple[State, Input], State] = {
    (State.LEFT, Input.JOIN): State.LOADING,
    (State.LEFT, Input.CLOSE): State.CLOSED,
    (State.LEFT, Input.HALT): State.CLOSED,
    (State.LOADING, Input.JOIN): State.LOADING,
    (State.LOADING, Input.LEAVE): State.CLEARING,
    (State.LOADING, Input.DRAIN): State.STOPPING,
    (State.LOADING, Input.UNDRAIN): State.LOADING,
    (State.LOADING, Input.PAUSE): State.LOADING,
    (State.LOADING, Input.RESUME): State.LOADING,
    (State.LOADING, Input.LOADED): State.SERVING,
    (State.LOADING, Input.LOAD_FAILED): State.FAILED,
    (State.LOADING, Input.CLOSE): State.ENDING,
    (State.LOADING, Input.HALT): State.ENDING,
    (State.SERVING, Input.JOIN): State.SERVING,
    (State.SERVING, Input.LEAVE): State.LEAVING,
    (State.SERVING, Input.DRAIN): State.DRAINING,
    (State.SERVING, Input.UNDRAIN): State.SERVING,
    (State.SERVING, Input.PAUSE): State.SERVING,
    (State.SERVING, Input.RESUME): State.SERVING,
    (State.SERVING, Input.CLOSE): State.CLOSING,
    (State.SERVING, Input.HALT): State.ENDING,
    (State.DRAINING, Input.LEAVE): State.LEAVING,
    (State.DRAINING, Input.DRAIN): State.DRAINING,
    (State.DRAINING, Input.UNDRAIN): State.SERVING,
    (State.DRAINING, Input.PAUSE): State.DRAINING,
    (State.DRAINING, Input.RESUME): State.DRAINING,
    (State.DRAINING, Input.IDLE): State.STOPPING,
    (State.DRAINING, Input.DEADLINE): State.STOPPING,
    (State.DRAINING, Input.CLOSE): State.CLOSING,
    (State.DRAINING, Input.HALT): State.ENDING,
    (State.STOPPING, Input.LEAVE): State.CLEARING,
    (State.STOPPING, Input.DRAIN): State.STOPPING,
    (State.STOPPING, Input.UNDRAIN): State.RENEWING,
    (State.STOPPING, Input.PAUSE): State.STOPPING,
    (State.STOPPING, Input.RESUME): State.STOPPING,
    (State.STOPPING, Input.FREED): State.STOPPED,
    (State.STOPPING, Input.CLOSE): State.ENDING,
    (State.STOPPING, Input.HALT): State.ENDING,
    (State.STOPPED, Input.LEAVE): State.LEFT,
    (State.STOPPED, Input.DRAIN): State.STOPPED,
    (State.STOPPED, Input.UNDRAIN): State.LOADING,
    (State.STOPPED, Input.PAUSE): State.STOPPED,
    (State.STOPPED, Input.RESUME): State.STOPPED,
    (State.STOPPED, Input.CLOSE): State.CLOSED,
    (State.STOPPED, Input.HALT): State.CLOSED,
    (State.LEAVING, Input.JOIN): State.SERVING,
    (State.LEAVING, Input.LEAVE): State.LEAVING,
    (State.LEAVING, Input.PAUSE): State.LEAVING,
    (State.LEAVING, Input.RESUME): State.LEAVING,
    (State.LEAVING, Input.IDLE): State.CLEARING,
    (State.LEAVING, Input.DEADLINE): State.CLEARING,
    (State.LEAVING, Input.CLOSE): State.CLOSING,
    (State.LEAVING, Input.HALT): State.ENDING,
    (State.CLEARING, Input.JOIN): State.RENEWING,
    (State.CLEARING, Input.LEAVE): State.CLEARING,
    (State.CLEARING, Input.PAUSE): State.CLEARING,
    (State.CLEARING, Input.RESUME): State.CLEARING,
    (State.CLEARING, Input.FREED): State.LEFT,
    (State.CLEARING, Input.CLOSE): State.ENDING,
    (State.CLEARING, Input.HALT): State.ENDING,
    (State.RENEWING, Input.JOIN): State.RENEWING,
    (State.RENEWING, Input.LEAVE): State.CLEARING,
    (State.RENEWING, Input.DRAIN): State.STOPPING,
    (State.RENEWING, Input.UNDRAIN): State.RENEWING,
    (State.RENEWING, Input.PAUSE): State.RENEWING,
    (State.RENEWING, Input.RESUME): State.RENEWING,
    (State.RENEWING, Input.FREED): State.LOADING,
    (State.RENEWING, Input.CLOSE): State.ENDING,
    (State.RENEWING, Input.HALT): State.ENDING,
    (State.FAILED, Input.JOIN): State.LOADING,
    (State.FAILED, Input.LEAVE): State.LEFT,
    (State.FAILED, Input.DRAIN): State.STOPPED,
    (State.FAILED, Input.UNDRAIN): State.FAILED,
    (State.FAILED, Input.PAUSE): State.FAILED,
    (State.FAILED, Input.RESUME): State.FAILED,
    (State.FAILED, Input.CLOSE): State.CLOSED,
    (State.FAILED, Input.HALT): State.CLOSED,
    (State.CLOSING, Input.IDLE): State.ENDING,
    (State.CLOSING, Input.DEADLINE): State.ENDING,
    (State.CLOSING, Input.CLOSE): State.CLOSING,
    (State.CLOSING, Input.HALT): State.ENDING,
    (State.ENDING, Input.FREED): State.CLOSED,
    (State.ENDING, Input.CLOSE): State.ENDING,
    (State.ENDING, Input.HALT): State.ENDING,
    (State.CLOSED, Input.CLOSE): State.CLOSED,
    (State.CLOSED, Input.HALT): State.CLOSED,
}
