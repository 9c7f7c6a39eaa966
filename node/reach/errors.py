"""What can stand between this machine and those who want to reach it.

NodeError
└── ReachError
    ├── NoGateway         this machine has no default gateway
    ├── NoAnswer          the router did not answer in time, or not at all
    ├── BadAnswer         what the router said cannot be accepted
    ├── RouterRefused     the router understood, and refused; `code` says why
    └── NotProven         nobody showed that an address leads here
"""

from __future__ import annotations

from node.errors import NodeError


class ReachError(NodeError):
    """Others may not be able to reach this machine."""


class NoGateway(ReachError):
    """This machine has no default gateway."""

    def __init__(self) -> None:
        super().__init__("this machine has no default gateway", "check its network; on a LAN none is needed")


class NoAnswer(ReachError):
    """The router did not answer."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the router did not answer {what}", "switch on UPnP or NAT-PMP in the router")


class BadAnswer(ReachError):
    """What the router said cannot be accepted."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(
            f"the router's answer to {what} cannot be used: {problem}",
            "forward the port in the router by hand",
        )


class RouterRefused(ReachError):
    """The router refused. `code` is its own number for the reason; `other_port` whether another port may do."""

    def __init__(self, what: str, code: int, meaning: str, *, other_port: bool = False) -> None:
        super().__init__(
            f"the router refused {what}: {meaning} ({code})", "forward the port in the router by hand"
        )
        self.code = code
        self.other_port = other_port


class NotProven(ReachError):
    """Nobody showed that an address leads here."""
