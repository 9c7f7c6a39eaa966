"""The machines of a plan and the links between them, as values in bounds. `machine_file` reads them from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from node.slices.spec import CPU

GB: Final = 1e9
"""As bandwidth is counted."""
GIB: Final = 1 << 30
"""As memory is counted: `8G`."""
DEFAULT_BANDWIDTH: Final = 12.0
"""GB/s a machine reads weights at when its file does not say: two cores of a small server, on the careful side."""
DEFAULT_GPU_BANDWIDTH: Final = 250.0
"""The same for a machine whose `device` is a GPU: a small one."""
DEFAULT_RATE: Final = 100.0
"""Mbit/s up and down, of a machine or a link whose file does not say."""
DEFAULT_LATENCY_MS: Final = 10.0
"""One way between two machines whose file does not say: half of what ping shows."""
ASSUMED_MEMORY: Final = 8 * GIB
"""Of the client where no machine of the file is it."""
MOST_MACHINES: Final = 64
"""As many as one route may have hops (`limits.MAX_HOPS`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine."""

    name: str
    memory: int
    """Bytes that Lamella may use of it, its process included; of the GPU's where `device` is one."""
    bandwidth: float = DEFAULT_BANDWIDTH
    """GB/s at which one token's step reads native weights; about half of what the memory's label says."""
    device: str = CPU
    uplink: float = DEFAULT_RATE
    """Mbit/s it sends at."""
    downlink: float = DEFAULT_RATE
    """Mbit/s it receives at."""
    client: bool = False
    """Whether this is where the questions are asked: it keeps the embedding and the first layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What lies between two machines."""

    latency_ms: float = DEFAULT_LATENCY_MS
    """One way."""
    rate: float | None = None
    """Mbit/s at most, beside what the machines' own up- and downlinks allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All machines of a plan."""

    client: Machine
    hosts: tuple[Machine, ...]
    links: Mapping[frozenset[str], Link] = field(default_factory=dict)
    """By the names of the two machines, where the file says; any other is `usual`."""
    usual: Link = field(default_factory=Link)
    assumed_client: bool = False
    """Whether no machine of the file is the client, so that one was assumed."""

    def link(self, one: Machine, other: Machine) -> Link:
        """What lies between two machines."""
        return self.links.get(frozenset((one.name, other.name)), self.usual)

    def seconds(self, sender: Machine, receiver: Machine, nbytes: int) -> float:
        """How long a message takes one way, sending it included."""
        link = self.link(sender, receiver)
        rates = [sender.uplink, receiver.downlink, *([] if link.rate is None else [link.rate])]
        return link.latency_ms / 1_000 + nbytes * 8 / (min(rates) * 1e6)
