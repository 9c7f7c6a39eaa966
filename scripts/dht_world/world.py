"""The network of a simulation: addresses, round trips, loss, and the nodes in it."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from crypto.digest import sha256
from crypto.identity import Identity
from node.dht.node import DhtNode
from node.dht.protocol import Protocol as DhtProtocol
from node.dht.routing import BOTH, KnownNode
from wire.endpoints import NodeId
from wire.types import Address

NETWORK: Final = "simulated"
EPOCH: Final = 1_800_000_000
"""Unix time when a simulation begins."""
NEIGHBOURS: Final = 40
"""Nodes nearest to itself that a node of a settled network knows of."""


class Inhabitant(Protocol):
    """Whatever takes datagrams at an address and is not one of ours."""

    @property
    def identity(self) -> Identity: ...

    def receive(self, data: bytes, source: Address) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How datagrams travel."""

    round_trip_s: float = 0.07
    """The median."""
    spread: float = 0.5
    """Sigma of the logarithm: at 0.5 one in twenty takes 2.3 times the median."""
    loss: float = 0.01


@dataclass(slots=True)
class World:
    """All nodes, and what flies between them."""

    weather: Weather = field(default_factory=Weather)
    seed: int = 1
    places: dict[Address, DhtNode | Inhabitant] = field(default_factory=dict)
    nodes: list[DhtNode] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    dead: set[Address] = field(default_factory=set)
    observer: Callable[[bytes, Address, Address], None] | None = None
    dice: random.Random = field(init=False)
    _ids: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def wall(self) -> float:
        """Unix time."""
        return EPOCH + asyncio.get_running_loop().time()

    def send(self, source: Address, data: bytes, target: Address) -> None:
        """Let a datagram fly."""
        self.counts["datagrams"] += 1
        self.counts["bytes"] += len(data)
        if self.observer is not None:
            self.observer(data, source, target)
        if self.dice.random() < self.weather.loss:
            return
        one_way = self.weather.round_trip_s / 2 * self.dice.lognormvariate(0, self.weather.spread)
        asyncio.get_running_loop().call_later(one_way, self._deliver, data, source, target)

    def address(self) -> Address:
        """The next address, in a /24 of its own."""
        self._ids += 1
        return Address(f"{20 + (self._ids >> 16)}.{self._ids >> 8 & 255}.{self._ids & 255}.1", 7311)

    def identity(self, name: str) -> Identity:
        """The identity of a name, the same in every run."""
        return Identity.from_seed(sha256(b"simulation", str(self.seed).encode(), name.encode()))

    def add(self, identity: Identity | None = None, address: Address | None = None) -> DhtNode:
        """A new honest node that can be reached and knows nobody."""
        where = address or self.address()
        identity = identity or self.identity(f"node {self._ids}")
        protocol = DhtProtocol(identity, NETWORK, random=self.dice.randbytes, wall=self.wall)
        protocol.serves = True
        node = DhtNode(protocol, partial(self.send, where), BOTH)
        self.places[where] = node
        self.nodes.append(node)
        return node

    def where(self, node: DhtNode) -> Address:
        """The address of a node."""
        return next(address for address, one in self.places.items() if one is node)

    def kill(self, node: DhtNode) -> None:
        """A node is gone without a word."""
        self.dead.add(self.where(node))
        node.close()
        self.nodes.remove(node)

    def settle(self, known: int = 250) -> None:
        """Give every node the contacts it would have after hours: those nearest to it, and some from everywhere."""
        everyone = self.contacts()
        ids = [one.long_id for one in everyone]
        for node in self.nodes:
            own = int.from_bytes(node.protocol.node.raw, "big")
            middle = bisect_left(ids, own)
            near = everyone[max(0, middle - NEIGHBOURS) : middle + NEIGHBOURS]
            far = self.dice.sample(everyone, min(known, len(everyone)))
            for one in (*near, *far):
                node.protocol.routing.add(one)

    def contacts(self) -> list[KnownNode]:
        """Everybody there is, by id, as a contact."""
        found = [
            KnownNode((one.protocol if isinstance(one, DhtNode) else one).identity.public_key, address)
            for address, one in self.places.items()
            if address not in self.dead
        ]
        return sorted(found, key=lambda one: one.long_id)

    def nearest(self, key: NodeId, count: int) -> list[DhtNode]:
        """The honest living nodes nearest to a key."""
        return sorted(self.nodes, key=lambda one: one.protocol.node.distance(key))[:count]

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        inhabitant = self.places.get(target)
        if inhabitant is not None and target not in self.dead:
            inhabitant.receive(data, source)
