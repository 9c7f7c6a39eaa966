"""The addresses of this machine's network interfaces, and which others a local network may name."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import ifaddr

from node.discovery.scope import Scope, scope_of
from wire.types import Address

_GROUP_IPV4: Final = "224.0.0.251"
_GROUP_IPV6: Final = "ff02::fb"
"""RFC 6762 §3."""


@dataclass(frozen=True, slots=True, order=True)
class LocalAddress:
    """An address of one interface."""

    ip: str
    """Without a scope."""
    prefix: int
    """Bits of the address that name its network."""
    index: int
    """The interface's number in this system; the scope of its link-local addresses."""

    @property
    def is_ipv6(self) -> bool:
        """Whether this is an IPv6 address."""
        return ":" in self.ip

    @property
    def scope(self) -> Scope:
        """How far the address means something."""
        return scope_of(Address(self.ip, 0))

    def neighbours(self, ip: str) -> bool:
        """Whether an address, written without a scope, is in this one's network."""
        network = ipaddress.ip_network(f"{self.ip}/{self.prefix}", strict=False)
        return ipaddress.ip_address(ip) in network


def local_addresses() -> frozenset[LocalAddress]:
    """Return the addresses of all interfaces; loopback only when there is nothing else. Blocks on the system.

    Without a network two processes of one machine still find each other that way.
    """
    found = set()
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            ip = one.ip if isinstance(one.ip, str) else one.ip[0]
            found.add(LocalAddress(ip.partition("%")[0], one.network_prefix, adapter.index or 0))
    outward = frozenset(one for one in found if one.scope is not Scope.LOOPBACK)
    # Multicast over IPv6 loopback does not come back on all systems.
    return outward or frozenset(one for one in found if not one.is_ipv6)


def takes_multicast(local: LocalAddress) -> bool:
    """Whether the system lets this interface hear multicast DNS. Blocks on the system."""
    family = socket.AF_INET6 if local.is_ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            if local.is_ipv6:
                group = socket.inet_pton(family, _GROUP_IPV6) + struct.pack("@I", local.index)
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
            else:
                group = socket.inet_aton(_GROUP_IPV4) + socket.inet_aton(local.ip)
                one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError:
        return False
    return True


def on_local_network(address: Address, local: Collection[LocalAddress]) -> bool:
    """Whether an announcement on the network of `local` may name an address.

    It may not send us to third parties: a public address counts only in a network that we are in, loopback only
    when loopback is the network. Private addresses of other subnets pass, since announcements are relayed between
    the subnets of a site.
    """
    ip, _, zone = address.ip.partition("%")
    match scope_of(address):
        case Scope.LOOPBACK:
            return any(one.scope is Scope.LOOPBACK for one in local)
        case Scope.LINK:
            return bool(zone) or ":" not in ip
        case Scope.SITE:
            return True
        case Scope.GLOBAL:
            return any(one.neighbours(ip) for one in local)
