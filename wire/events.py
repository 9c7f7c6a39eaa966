"""What a connection reports. Drained by `Connection.events`; the shell above acts on them, in order."""

from __future__ import annotations

from dataclasses import dataclass

from crypto.identity import PeerId
from wire.codes import Code
from wire.messages.base import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """The handshake is over and the peer's identity is proved. Always the first event, or it never comes."""

    peer_id: PeerId
    static_key: bytes
    """The peer's Noise key: one process of that identity, as long as it runs."""
    agent: str
    """What the peer calls its program; a claim for people, never to decide by."""
    features: tuple[int, ...]
    version: int
    """The lower of both sides' versions: the one to speak."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message that decoded and is in bounds. Its body, if any, belongs to whoever takes the event."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The connection is over; always the last event."""

    code: Code
    detail: str
    """For a person; from the peer when `by_peer`."""
    by_peer: bool
    """Whether the peer ended it, by a goodbye or by hanging up."""


ConnectionEvent = Established | MessageReceived | Closed
