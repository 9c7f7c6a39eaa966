"""The legal orders of a connection, as data and nothing else. Spec: `specs/wire.md` §Roles and states.

A pair that is missing is illegal: from a peer it closes the connection with `bad_message`, from our own caller it
raises `IllegalState`. What a peer sends after `CLOSED` is not read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where a connection is; the first three name the handshake message it waits for."""

    AWAIT_FIRST = "await first"
    AWAIT_SECOND = "await second"
    AWAIT_THIRD = "await third"
    ESTABLISHED = "established"
    CLOSED = "closed"


class Input(Enum):
    """What can happen to it: what the peer sends, then the stream and time, then our own caller's doing."""

    HANDSHAKE = "handshake"
    MESSAGE = "message"
    HELLO = "hello"
    PING = "ping"
    PONG = "pong"
    ACK = "ack"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown message"
    GOODBYE = "goodbye"
    VIOLATION = "violation"
    EOF = "end of stream"
    TIMEOUT = "timeout"
    SEND = "send"
    CLOSE = "close"


TABLE: Mapping[tuple[State, Input], State] = {
    (State.AWAIT_FIRST, Input.HANDSHAKE): State.AWAIT_THIRD,
    (State.AWAIT_FIRST, Input.VIOLATION): State.CLOSED,
    (State.AWAIT_FIRST, Input.EOF): State.CLOSED,
    (State.AWAIT_FIRST, Input.TIMEOUT): State.CLOSED,
    (State.AWAIT_FIRST, Input.CLOSE): State.CLOSED,
    (State.AWAIT_SECOND, Input.HANDSHAKE): State.ESTABLISHED,
    (State.AWAIT_SECOND, Input.VIOLATION): State.CLOSED,
    (State.AWAIT_SECOND, Input.EOF): State.CLOSED,
    (State.AWAIT_SECOND, Input.TIMEOUT): State.CLOSED,
    (State.AWAIT_SECOND, Input.CLOSE): State.CLOSED,
    (State.AWAIT_THIRD, Input.HANDSHAKE): State.ESTABLISHED,
    (State.AWAIT_THIRD, Input.VIOLATION): State.CLOSED,
    (State.AWAIT_THIRD, Input.EOF): State.CLOSED,
    (State.AWAIT_THIRD, Input.TIMEOUT): State.CLOSED,
    (State.AWAIT_THIRD, Input.CLOSE): State.CLOSED,
    (State.ESTABLISHED, Input.MESSAGE): State.ESTABLISHED,
    (State.ESTABLISHED, Input.PING): State.ESTABLISHED,
    (State.ESTABLISHED, Input.PONG): State.ESTABLISHED,
    (State.ESTABLISHED, Input.ACK): State.ESTABLISHED,
    (State.ESTABLISHED, Input.UNSUPPORTED): State.ESTABLISHED,
    (State.ESTABLISHED, Input.UNKNOWN): State.ESTABLISHED,
    (State.ESTABLISHED, Input.GOODBYE): State.CLOSED,
    (State.ESTABLISHED, Input.VIOLATION): State.CLOSED,
    (State.ESTABLISHED, Input.EOF): State.CLOSED,
    (State.ESTABLISHED, Input.TIMEOUT): State.CLOSED,
    (State.ESTABLISHED, Input.SEND): State.ESTABLISHED,
    (State.ESTABLISHED, Input.CLOSE): State.CLOSED,
    (State.CLOSED, Input.EOF): State.CLOSED,
    (State.CLOSED, Input.CLOSE): State.CLOSED,
}
