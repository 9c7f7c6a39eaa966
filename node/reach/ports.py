"""What is asked of a router and what it grants."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from node.reach.errors import BadAnswer
from wire.messages.reach import Transport
from wire.types import Address

LIFETIME_S: Final = 3600
"""What is asked for: short enough that what a crash leaves behind goes away, long enough to be no burden."""
MOST_LIFETIME_S: Final = 24 * 3600
"""More than this is taken as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A port of this machine that others should reach."""

    transport: Transport
    internal_port: int
    external_port: int
    """The port preferred outside; a router may grant another."""
    lifetime_s: int = LIFETIME_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What a router says it lets through. A claim: dial-back proves it."""

    transport: Transport
    internal_port: int
    external: Address
    lifetime_s: int
    """Until it lapses, counted from the grant; 0 when it never does."""
    method: str

    @property
    def is_public(self) -> bool:
        """Whether the address can lead here from everywhere; if not, there is another router outside this one."""
        return ipaddress.ip_address(self.external.ip).is_global


def granted(wanted: Wanted, *, ip: str, port: int, lifetime_s: int, method: str) -> Mapped:
    """Check what a router says it granted. Raises `BadAnswer`."""
    if not 1 <= port <= 65_535:
        raise BadAnswer(method, f"port {port}")
    if lifetime_s < 0:
        raise BadAnswer(method, f"a lifetime of {lifetime_s} s")
    return Mapped(
        transport=wanted.transport,
        internal_port=wanted.internal_port,
        external=Address(checked_ip(ip, method), port),
        lifetime_s=min(lifetime_s, MOST_LIFETIME_S),
        method=method,
    )


def checked_ip(text: str, method: str) -> str:
    """An external address in its usual spelling. Raises `BadAnswer` for one that no machine can have outside."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadAnswer(method, "its external address is none") from error
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id is not None or ip.ipv4_mapped is not None):
        raise BadAnswer(method, "its external address has no meaning outside")
    if ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local or int(ip) == (1 << 32) - 1:
        raise BadAnswer(method, f"its external address is {ip}")
    return str(ip)
