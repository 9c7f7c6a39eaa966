"""Peers telling each other of peers, on the links they have. Spec: `specs/discovery.md` §Peer exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from crypto.identity import PeerId
from wire import limits
from wire.fields import ADDRESS, PEER_ID, Maybe, Nested, Several, UInt
from wire.messages.base import Message, register
from wire.types import Address

_PORT = UInt(65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPeer:
    """A peer that the sender has a link to, and where it takes links."""

    peer: PeerId
    address: Address
    """A hint: only who is dialled there proves who it is."""


KNOWN_PEER = Nested(KnownPeer, {"peer": PEER_ID, "address": ADDRESS})


@register(64, "introduce", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Introduce(Message):
    """Asks for peers; answered by `peers`."""

    listens: Annotated[int | None, Maybe(_PORT)] = None
    """The port, at the address of this link, where the sender takes links and may be told of to others; left out,
    it MUST NOT be told of."""


@register(65, "peers", sender="both")
@dataclass(frozen=True, slots=True, kw_only=True)
class Peers(Message):
    """Some of the peers that the sender has links to."""

    peers: Annotated[tuple[KnownPeer, ...], Several(KNOWN_PEER, limits.MAX_PEERS_TOLD)]
    listens: Annotated[int | None, Maybe(_PORT)] = None
    """As in `introduce`."""
