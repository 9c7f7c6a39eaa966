"""Why the host did not do what was asked for, by name. Spec: `specs/control.md`, whose table is made from this file."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """The code of an `error` answer; its docstring in the table is what it means."""

    MALFORMED = "malformed"
    """The line is no request: not JSON, not an object, or fields that are missing, unknown or of another type."""
    TOO_LONG = "too_long"
    """The line is longer than `MAX_REQUEST_BYTES`; all of it was passed over."""
    OTHER_VERSION = "other_version"
    """The line is of another version of this protocol."""
    NOT_ALLOWED = "not_allowed"
    """The client runs as another user, or as one the system does not tell; the connection ends."""
    TOO_MANY_CLIENTS = "too_many_clients"
    """`MAX_CLIENTS` are connected; the connection ends."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """`MAX_REQUESTS` of this connection are under way, or a request with this id is."""
    UNKNOWN_COMMAND = "unknown_command"
    """There is no such command."""
    UNKNOWN_ARGUMENT = "unknown_argument"
    """The command has no such argument."""
    MISSING_ARGUMENT = "missing_argument"
    """The command needs an argument that was not given."""
    BAD_ARGUMENT = "bad_argument"
    """An argument is of another type than the table says, or out of its bounds."""
    UNSUPPORTED = "unsupported"
    """The command exists; this host does not offer it."""
    FAILED = "failed"
    """The host tried and could not, or will not; the cause says why."""
    CANCELLED = "cancelled"
    """The client gave the request up."""
    SHUTTING_DOWN = "shutting_down"
    """The host ended before the request did."""
    INTERNAL = "internal"
    """A defect of the host, which goes on; its log has the particulars."""
