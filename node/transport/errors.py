"""What can go wrong between this machine and its peers.

TransportError (a NodeError)
├── DialError             a peer cannot be reached; `address` and `peer_id` say which
│   ├── DialRefused       nothing listens there
│   ├── DialTimedOut      no answer in time
│   ├── DialUnreachable   the system knows no way there
│   ├── WrongPeer         another peer, or this process itself, answers there
│   ├── HandshakeRefused  what answers does not speak this network's protocol
│   └── PeerHungUp        it closed before the handshake was over
├── ListenError           we cannot be reached; `address` says where
│   ├── AddressInUse      another program listens there
│   └── AddressUnavailable  this machine does not have that address, or may not use that port
├── LinkClosed            a command on a link that is over; `code` says why
├── TooManyLinks          this process holds all the links it may
└── PoolClosed            this process is shutting its links down
"""

from __future__ import annotations

from crypto.identity import PeerId
from node.errors import NodeError
from wire.codes import Code
from wire.types import Address


class TransportError(NodeError):
    """A peer cannot be spoken with."""


class DialError(TransportError):
    """A peer cannot be reached."""

    def __init__(self, address: Address, peer_id: PeerId | None, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.address = address
        self.peer_id = peer_id


class DialRefused(DialError):
    """Nothing listens at that address."""


class DialTimedOut(DialError):
    """Nothing answered in time."""


class DialUnreachable(DialError):
    """The system knows no way to that address."""


class WrongPeer(DialError):
    """Another peer than the one that was meant answers there."""


class HandshakeRefused(DialError):
    """What answers there does not speak this network's protocol."""


class PeerHungUp(DialError):
    """The peer closed before the handshake was over."""


class ListenError(TransportError):
    """This address cannot be listened on."""

    def __init__(self, address: Address, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.address = address


class AddressInUse(ListenError):
    """Another program listens there."""


class AddressUnavailable(ListenError):
    """This machine does not have that address, or may not use that port."""


class LinkClosed(TransportError):
    """The link is over. `by_peer` says whether the peer ended it."""

    def __init__(self, remote: Address | None, code: Code, detail: str, *, by_peer: bool) -> None:
        where = f"the link to {remote}" if remote is not None else "the link"
        said = f": {detail}" if detail else ""
        super().__init__(f"{where} is closed ({code.text}{said})", "open a new link or choose another peer")
        self.remote = remote
        self.code = code
        self.detail = detail
        self.by_peer = by_peer


class TooManyLinks(TransportError):
    """This process holds all the links it may."""


class PoolClosed(TransportError):
    """This process is shutting its links down."""
