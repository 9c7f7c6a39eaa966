"""Why no relay carries a link.

NodeError
└── RelayError
    ├── CircuitRefused    the relay or the host refused; `code` says why
    ├── CircuitTimedOut   no answer in time
    └── ReservationRefused  a relay does not carry links to this host; `code` says why
"""

from __future__ import annotations

from node.errors import NodeError


class RelayError(NodeError):
    """No relay carries a link."""


class CircuitRefused(RelayError):
    """The relay, or the host behind it, does not take the link."""

    def __init__(self, code: int, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.code = code


class CircuitTimedOut(RelayError):
    """Neither the relay nor the host behind it answered."""


class ReservationRefused(RelayError):
    """A relay does not carry links to this host."""

    def __init__(self, code: int, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.code = code
