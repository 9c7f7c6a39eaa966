"""Whether an address leads to a peer: asked over a link, proved by connecting back. Spec: `specs/reachability.md`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from wire import limits
from wire.fields import ADDRESS, Bytes, OneOf, UInt
from wire.messages.base import Message, register
from wire.types import Address

NONCE = Bytes(limits.DIAL_BACK_NONCE_BYTES)


class Transport(Enum):
    """Which ports are meant."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """The IANA protocol number."""
        return 6 if self is Transport.TCP else 17


class Outcome(Enum):
    """How a dial-back went."""

    REACHED = "reached"
    """TCP: the peer that asked answers there. UDP: the datagrams were sent."""
    UNREACHED = "unreached"
    REFUSED = "refused"
    """Nothing was sent: too often, a port below the least, or a link that a relay carries."""


@register(80, "dial_back", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class DialBack(Message):
    """Asks the peer to connect to the address this link comes from; answered by `dialled_back`."""

    nonce: Annotated[bytes, NONCE]
    """Drawn at random for this question; known to nobody else."""
    transport: Annotated[Transport, OneOf(Transport)]
    port: Annotated[int, UInt(65_535)]
    """Where the sender listens."""


@register(81, "dialled_back", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class DialledBack(Message):
    """What came of it. The asker believes it only where the nonce has reached it by the other way."""

    nonce: Annotated[bytes, NONCE]
    address: Annotated[Address, ADDRESS]
    """The address the link comes from as the sender sees it, with the port that was asked for."""
    outcome: Annotated[Outcome, OneOf(Outcome)]


@register(82, "proof", sender="both, on a link of its own")
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(Message):
    """The nonce of a `dial_back`, the only message of a link that was opened for it."""

    nonce: Annotated[bytes, NONCE]
