"""What address others see us at: a tally of what they say, in which networks have votes and peers have not. Pure.

One liar, or many in one network, change nothing: an address counts when most networks that said anything name it, and
at least two do. That it is seen does not mean that others can connect there: that is `dial_back`'s to prove.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from wire.types import Address

V = TypeVar("V", bound=Hashable)

NEEDED: Final = 2
"""Networks that must say the same."""
KEPT_S: Final = 3_600.0
"""How long what one said is believed: addresses change."""
MAX_VOTES: Final = 128
"""Security limit: networks remembered for each transport; the one heard longest ago is forgotten first."""
_SYMMETRIC_LEAST: Final = 3
"""Networks that must each see a port of their own before a router is called symmetric."""


class Nat(Enum):
    """What stands between this machine and the others, by what they see of one UDP socket of ours."""

    UNKNOWN = "unknown"
    STEADY = "steady"
    """All see one address and port: no router, or one that keeps a port for all (a cone)."""
    SYMMETRIC = "symmetric"
    """Each sees a port of its own: nobody can be told where to reach us but through a relay or a mapping."""


@dataclass(frozen=True, slots=True)
class _Vote:
    address: Address
    at: float


class Observed:
    """What others said they see us at."""

    def __init__(self, *, needed: int = NEEDED) -> None:
        """`needed` networks must agree; a swarm in one building sets it to 1, and believes its neighbours."""
        self._needed = needed
        self._links: OrderedDict[str, _Vote] = OrderedDict()
        self._datagrams: OrderedDict[str, _Vote] = OrderedDict()

    def saw(self, by: str, address: Address, *, datagram: bool, now: float) -> None:
        """Take what a peer says.

        Args:
            by: the IP address the peer speaks from.
            address: what it sees; of a link only the IP means anything, since each link has a port of its own.
            datagram: whether it saw our one UDP socket, whose port does mean something.
            now: the time.
        """
        if ipaddress.ip_address(address.ip).version != ipaddress.ip_address(by).version:
            return
        votes = self._datagrams if datagram else self._links
        network = network_of(by)
        votes[network] = _Vote(address, now)
        votes.move_to_end(network)
        while len(votes) > MAX_VOTES:
            votes.popitem(last=False)

    def ip(self, version: int, now: float) -> str | None:
        """The IP address, 4 or 6, that most networks see, if enough agree."""
        votes = self._valid(self._links, version, now)
        said: dict[str, str] = {network: vote.address.ip for network, vote in votes.items()}
        for network, vote in self._valid(self._datagrams, version, now).items():
            if network not in votes or vote.at > votes[network].at:
                said[network] = vote.address.ip
        return _most(list(said.values()), self._needed)

    def datagram_address(self, version: int, now: float) -> Address | None:
        """The address of our UDP socket that most networks see, if enough agree."""
        votes = self._valid(self._datagrams, version, now)
        return _most([vote.address for vote in votes.values()], self._needed)

    def nat(self, version: int, now: float) -> Nat:
        """What the UDP socket's addresses say of the router."""
        votes = [vote.address for vote in self._valid(self._datagrams, version, now).values()]
        if _most(votes, self._needed) is not None:
            return Nat.STEADY
        ip = _most([vote.ip for vote in votes], self._needed)
        ports = [vote.port for vote in votes if vote.ip == ip]
        if len(ports) >= _SYMMETRIC_LEAST and 2 * len(set(ports)) > len(ports):
            return Nat.SYMMETRIC
        return Nat.UNKNOWN

    def forget(self) -> None:
        """This machine is on another network."""
        self._links.clear()
        self._datagrams.clear()

    @staticmethod
    def _valid(votes: OrderedDict[str, _Vote], version: int, now: float) -> dict[str, _Vote]:
        return {
            network: vote
            for network, vote in votes.items()
            if vote.at > now - KEPT_S and ipaddress.ip_address(vote.address.ip).version == version
        }


def network_of(ip: str) -> str:
    """The network an address counts for: a /16 of IPv4, a /32 of IPv6, which a provider has and a customer has not."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    length = 16 if address.version == 4 else 32
    return str(ipaddress.ip_network((address, length), strict=False))


def _most(values: Sequence[V], needed: int) -> V | None:
    """The value that more than half of all are, if it is there often enough."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if count >= needed and 2 * count > len(values) else None
