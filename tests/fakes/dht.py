"""Two or more protocols of the DHT that hand each other their datagrams at once, for tests without a loop."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from node.dht.protocol import Protocol
from tests.fakes.records import NETWORK, NOW, identity
from wire.types import Address


@dataclass
class Wire:
    """Who is where, and what was sent."""

    now: float = 0.0
    wall: float = NOW
    places: dict[Address, Protocol] = field(default_factory=dict)
    sent: list[tuple[bytes, Address, Address]] = field(default_factory=list)
    """Data, from, to."""
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    def add(self, number: int, ip: str, *, serves: bool = True) -> Protocol:
        protocol = Protocol(
            identity(number), NETWORK, random=self.dice.randbytes, wall=lambda: self.wall, now=self.now
        )
        protocol.serves = serves
        self.places[Address(ip, 7311)] = protocol
        return protocol

    def where(self, protocol: Protocol) -> Address:
        return next(address for address, one in self.places.items() if one is protocol)

    def run(self) -> None:
        """Deliver until nobody has anything to say."""
        for _ in range(100):
            flying = [
                (data, source, target)
                for source, protocol in self.places.items()
                for data, target in protocol.datagrams_to_send()
            ]
            if not flying:
                return
            self.sent += flying
            for data, source, target in flying:
                if target in self.places:
                    self.places[target].receive(data, source, self.now)
        raise AssertionError("they never stop talking")
