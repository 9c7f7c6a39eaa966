"""What can go wrong between this machine and the DHT.

DhtError (a NodeError)
├── CannotListen          datagrams cannot be received at an address; `address` says which
└── NobodyKnown           there is no node to ask
"""

from __future__ import annotations

from node.errors import NodeError
from wire.types import Address


class DhtError(NodeError):
    """The DHT cannot be used."""


class CannotListen(DhtError):
    """Datagrams cannot be received at this address."""

    def __init__(self, address: Address, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.address = address


class NobodyKnown(DhtError):
    """No node of the network is known."""
