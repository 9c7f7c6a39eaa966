"""What can be wrong with what a person hands us to find peers by, each with the next step.

NodeError
└── DiscoveryError
    ├── BadJoinString         no join string, or not as it was made
    ├── OtherNetwork          a join string or list of another network than the one this program is in
    └── BootstrapRefused      a bootstrap list that cannot be used
        └── BootstrapExpired  it held once
"""

from __future__ import annotations

from node.errors import NodeError


class DiscoveryError(NodeError):
    """A road to peers is closed."""


class BadJoinString(DiscoveryError):
    """This text is no join string, or was changed on the way."""


class OtherNetwork(DiscoveryError):
    """The contacts are of another network."""

    def __init__(self, what: str, theirs: str, ours: str) -> None:
        super().__init__(
            f"{what} is for network {theirs!r}, you are in {ours!r}",
            f"start with --network {theirs!r}, or ask for one of network {ours!r}",
        )
        self.theirs = theirs
        self.ours = ours


class BootstrapRefused(DiscoveryError):
    """A bootstrap list cannot be used."""


class BootstrapExpired(BootstrapRefused):
    """A bootstrap list is past its time, by this machine's clock."""
