"""How far an address means something: to this machine, to its link, to a site, to everybody."""

from __future__ import annotations

import ipaddress
from enum import IntEnum

from wire.types import Address

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Scope(IntEnum):
    """From the nearest to the widest."""

    LOOPBACK = 0
    LINK = 1
    SITE = 2
    """Private, shared (RFC 6598) and every other address that the internet does not route."""
    GLOBAL = 3


def plain(address: Address) -> Address:
    """The address as contacts write it: IPv4 seen through an IPv6 socket becomes IPv4."""
    ip = ipaddress.ip_address(address.ip)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return address if mapped is None else Address(str(mapped), address.port)


def scope_of(address: Address) -> Scope:
    """How far an address of one machine means something."""
    ip = ipaddress.ip_address(plain(address).ip)
    if ip.is_loopback:
        return Scope.LOOPBACK
    if ip.is_link_local:
        return Scope.LINK
    return Scope.GLOBAL if ip.is_global else Scope.SITE


def may_pass(contact: Address, between: Address) -> bool:
    """Whether a contact's address may be told to, or taken from, a peer at the address `between`.

    Telling a wider circle would name machines it cannot reach, and taking from it would let strangers aim our dials at
    what only we can reach. Addresses of one link are worth nothing without the link.
    """
    scope = scope_of(contact)
    return scope is not Scope.LINK and scope >= scope_of(between)


def neighbourhood(address: Address) -> Network:
    """The network that one owner commonly has: a /24, or a /48 in IPv6."""
    ip = plain(address).ip.partition("%")[0]
    return ipaddress.ip_network(f"{ip}/{48 if ':' in ip else 24}", strict=False)
