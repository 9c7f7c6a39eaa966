"""Why the host cannot be looked at, each with the next step.

NodeError
└── SightError
    ├── NotLoopback         the address for metrics can be reached from outside, and nobody asked for that
    ├── CannotServeSight    the address cannot be listened on; `address` says which
    └── TooManyFollowers    so many follow the log already that no more are taken
"""

from __future__ import annotations

from node.errors import NodeError
from wire.types import Address


class SightError(NodeError):
    """The host cannot be looked at in this way."""


class NotLoopback(SightError):
    """What a host tells about itself would leave this machine."""

    def __init__(self, address: Address) -> None:
        super().__init__(
            f"metrics at {address} could be read from other machines",
            "choose 127.0.0.1 or [::1], or say that others may read them",
        )
        self.address = address


class CannotServeSight(SightError):
    """The address cannot be listened on."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(
            f"metrics cannot be served at {address} ({reason})", "choose another address or port"
        )
        self.address = address


class TooManyFollowers(SightError):
    """The log is followed by as many as it can be."""
