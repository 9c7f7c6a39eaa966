"""Links that a third peer carries: reserved, opened, filled, closed. Spec: `specs/reachability.md`.

What travels in `relay_data` is the byte stream of a link between the two ends, its Noise handshake included: the relay
sees who speaks with whom, when and how much, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from crypto.identity import PeerId
from wire import limits
from wire.fields import PEER_ID, Bytes, Text, UInt
from wire.messages.base import Body, Message, register

CIRCUIT = Bytes(limits.CIRCUIT_ID_BYTES)
_SECONDS = UInt((1 << 40) - 1)
_BYTES = UInt((1 << 53) - 1)
_DETAIL = Text(limits.MAX_DETAIL_CHARS)


@register(96, "relay_reserve", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReserve(Message):
    """Asks the peer to carry links to the sender, or to go on doing so; answered by `relay_reserved` or `relay_no`."""


@register(97, "relay_reserved", sender="relay")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReserved(Message):
    """The relay carries links to the host until then, as long as this link lives."""

    expires: Annotated[int, _SECONDS]
    """Unix time, in seconds, by the relay's clock."""
    lifetime_s: Annotated[int, UInt(limits.MAX_RESERVATION_SECONDS)]
    """The same as a time from now."""
    circuits: Annotated[int, UInt(65_535)]
    """Links at once."""
    circuit_bytes: Annotated[int, _BYTES]
    """Bytes of one link, both directions together."""
    circuit_s: Annotated[int, _SECONDS]
    """The longest one link may last."""
    key: Annotated[bytes, Bytes(32)]
    """The relay's Ed25519 public key, whose SHA-256 is its peer id."""
    signature: Annotated[bytes, Bytes(64)]
    """The relay's, over the host's peer id and `expires`."""


@register(98, "relay_no", sender="relay")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayNo(Message):
    """There is no reservation, or no longer."""

    code: Annotated[int, UInt(65_535)]
    detail: Annotated[str, _DETAIL]


@register(99, "relay_connect", sender="client")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConnect(Message):
    """Asks for a link to a host; answered by `relay_accept` or `relay_close`."""

    circuit: Annotated[bytes, CIRCUIT]
    """Drawn at random; names the link on both of its halves."""
    host: Annotated[PeerId, PEER_ID]


@register(100, "relay_incoming", sender="relay")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayIncoming(Message):
    """Tells a host that a client asks for a link; answered by `relay_accept` or `relay_close`."""

    circuit: Annotated[bytes, CIRCUIT]
    client: Annotated[PeerId, PEER_ID]
    """Who asks, as the relay knows it; the host believes the handshake inside, not this."""


@register(101, "relay_accept", sender="host, and the relay to the client")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAccept(Message):
    """The circuit is open; each end may send `RELAY_WINDOW_BYTES`."""

    circuit: Annotated[bytes, CIRCUIT]


@register(102, "relay_data", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayData(Message):
    """The next bytes of the stream inside: at most `RELAY_DATA_BYTES`, at least one."""

    circuit: Annotated[bytes, CIRCUIT]
    body: Body
    """Of the stream inside."""


@register(103, "relay_credit", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCredit(Message):
    """The receiving end has taken so many bytes; as many more may follow."""

    circuit: Annotated[bytes, CIRCUIT]
    taken: Annotated[int, UInt(limits.RELAY_WINDOW_BYTES)]


@register(104, "relay_close", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayClose(Message):
    """The circuit is over, or was never opened, and why."""

    circuit: Annotated[bytes, CIRCUIT]
    code: Annotated[int, UInt(65_535)]
    detail: Annotated[str, _DETAIL]
