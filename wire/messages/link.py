"""What keeps a link alive and ends it. Spec: `specs/wire.md` §Messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from wire import limits
from wire.fields import Bytes, Several, Text, UInt
from wire.messages.base import Message, register

_COUNT = UInt((1 << 63) - 1)


@register(1, "hello", sender="both, inside the Noise handshake")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """Who is speaking and what it speaks; the payload of Noise messages 2 and 3."""

    version: Annotated[int, UInt(65_535)]
    identity: Annotated[bytes, Bytes(32)]
    """Ed25519 public key."""
    signature: Annotated[bytes, Bytes(64)]
    """Over the Noise static key, with its context (`specs/noise.md`)."""
    agent: Annotated[str, Text(limits.MAX_AGENT_CHARS)]
    features: Annotated[tuple[int, ...], Several(UInt(65_535), limits.MAX_FEATURES)]
    """Optional parts of the protocol this side speaks; both must name one for it to be used."""


@register(2, "ping", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Message):
    """Asks for a `pong`; sent after silence."""

    nonce: Annotated[int, _COUNT]


@register(3, "pong", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Message):
    """Answers the `ping` with its nonce."""

    nonce: Annotated[int, _COUNT]


@register(4, "ack", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Message):
    """How many messages, other than pings, pongs and acks, this side has received on this link."""

    count: Annotated[int, _COUNT]


@register(5, "goodbye", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye(Message):
    """The last message of a link, and why."""

    code: Annotated[int, UInt(65_535)]
    detail: Annotated[str, Text(limits.MAX_DETAIL_CHARS)]


@register(6, "unsupported", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported(Message):
    """A message with this id was received and ignored, because this side does not know it."""

    id: Annotated[int, UInt(65_535)]
