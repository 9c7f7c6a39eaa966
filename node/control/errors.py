"""What stands between a person and a running host, each with the next step.

NodeError
└── ControlError
    ├── PlaceUnsafe           other users could put their own socket in place of ours
    ├── PlaceUnusable         the socket cannot be made there
    ├── HostIsRunning         another host has the socket
    ├── NoHostRuns            nobody answers at the socket
    ├── NotAllowed            the socket is another user's, or the host said so
    ├── CredentialsUnknown    this system does not tell who is at the other end
    ├── NoAnswer              the host did not answer in time
    ├── ConnectionEnded       the host ended the connection before it answered
    ├── BadAnswer             what came is not an answer to the request
    ├── Unfit                 a value is not of its kind
    ├── BadRequest            a line that is no request, or asks for what there is not; `code` says which
    └── Refused               the host answered with an error; `code` says which
        └── OtherVersion      the host speaks another version of the protocol
"""

from __future__ import annotations

from node.control.codes import ErrorCode
from node.errors import NodeError


class ControlError(NodeError):
    """The control socket could not be used."""


class PlaceUnsafe(ControlError):
    """Someone other than this user could replace the socket."""


class PlaceUnusable(ControlError):
    """The socket cannot be made where it was asked for."""


class HostIsRunning(ControlError):
    """Another host of this user answers at this socket."""


class NoHostRuns(ControlError):
    """Nobody answers at the socket."""


class NotAllowed(ControlError):
    """The socket belongs to another user."""


class CredentialsUnknown(ControlError):
    """The system does not tell which user is at the other end of a socket."""


class NoAnswer(ControlError):
    """The host did not answer in time."""


class ConnectionEnded(ControlError):
    """The host ended the connection before it had answered."""


class BadAnswer(ControlError):
    """What came over the socket is not an answer to what was asked."""


class Unfit(ControlError):
    """A value is not of the kind it should be."""


class BadRequest(ControlError):
    """A line from a client cannot be taken as a request."""

    def __init__(self, code: ErrorCode, cause: str, next_step: str, *, id: int | None = None) -> None:  # noqa: A002 - as the field of the line is called
        super().__init__(cause, next_step)
        self.code = code
        self.id = id
        """The id of the request, as far as it could be read."""


class Refused(ControlError):
    """The host answered with an error."""

    def __init__(self, code: str, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.code = code
        """One of `ErrorCode`, or of a newer host's."""


class OtherVersion(Refused):
    """The host speaks another version of the protocol."""
