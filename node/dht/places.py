"""Where an IP address lies: on this machine, in a local network or in the world, and among which neighbours.

Limits count by network, since one person has all the addresses of one; they hold in the world only. A local network
is small and its addresses come from within it, as `may_tell` sees to.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from functools import lru_cache

_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
"""RFC 6598: behind a provider's translator."""
_REMEMBERED = 8_192
_MIXED_OCTETS = frozenset((0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)))
"""First bytes of the IPv4 addresses of which not all are of the world."""


class Scope(IntEnum):
    """How far an address means something."""

    MACHINE = 0
    LOCAL = 1
    WORLD = 2


@lru_cache(maxsize=_REMEMBERED)
def scope_of(ip: str) -> Scope:
    """Where an address lies."""
    if not is_v6(ip) and _packed(ip)[0] not in _MIXED_OCTETS:
        # Who forges his address sends from a new one each time: what is plain is told without the library.
        return Scope.WORLD
    address = ipaddress.ip_address(ip)
    if address.is_loopback:
        return Scope.MACHINE
    if address.is_link_local or (address.is_private and not _is_documentation(address)):
        return Scope.LOCAL
    return Scope.LOCAL if address in _SHARED else Scope.WORLD


@lru_cache(maxsize=_REMEMBERED)
def network_of(ip: str) -> bytes:
    """The /24 of an IPv4 address, the /48 of an IPv6 one."""
    packed = _packed(ip)
    return packed[:3] if len(packed) == 4 else packed[:6]


@lru_cache(maxsize=_REMEMBERED)
def source_of(ip: str) -> bytes:
    """What counts as one sender: an IPv4 address, the /64 of an IPv6 one."""
    packed = _packed(ip)
    return packed if len(packed) == 4 else packed[:8]


def limited_network(ip: str) -> bytes | None:
    """The network that limits count an address in; none where they do not hold."""
    return network_of(ip) if scope_of(ip) is Scope.WORLD else None


def may_tell(source: str, told: str) -> bool:
    """Whether one at `source` can know an address: nobody outside may send us into our own network."""
    return scope_of(told) >= scope_of(source)


def is_v6(ip: str) -> bool:
    """Whether an address is of IPv6."""
    return ":" in ip


def _packed(ip: str) -> bytes:
    """The bytes of an address, which `Address` has checked."""
    return ipaddress.ip_address(ip).packed if is_v6(ip) else bytes(map(int, ip.split(".")))


def _is_documentation(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of those that examples use, which the library counts as private."""
    return any(ip in one for one in _DOCUMENTATION if one.version == ip.version)


_DOCUMENTATION = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
)
