"""The default gateways of this machine: the only machines whose answers about mappings count.

Linux lists them in `/proc/net/route` and `/proc/net/ipv6_route`; the thread's own view is read, which is the right one
in a network namespace, too.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROUTES: Final = Path("/proc/thread-self/net/route")
ROUTES_6: Final = Path("/proc/thread-self/net/ipv6_route")
_MOST_ROUTES_BYTES: Final = 1024 * 1024
"""A machine with more routes than this is a router, and needs no mapping."""
_GATEWAY: Final = 0x2
_UP: Final = 0x1
_FAR: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses for documentation: a socket is pointed at them to learn our own address, and nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A router, and what this machine is called on the network that leads to it."""

    ip: str
    """With its scope, when it is a link-local IPv6 address."""
    interface: str
    own_ip: str
    """Our address as packets to the outside carry it."""

    @property
    def is_v6(self) -> bool:
        """Whether it routes IPv6."""
        return ":" in self.ip


def gateways(routes: Path = ROUTES, routes_6: Path = ROUTES_6) -> list[Gateway]:
    """The default gateways, IPv4 first; empty when there is none. One per family: the one with the best metric."""
    found = []
    for path, parse, family in ((routes, parse_v4, socket.AF_INET), (routes_6, parse_v6, socket.AF_INET6)):
        best = parse(_read(path))
        own_ip = own_address(family) if best is not None else None
        if best is not None and own_ip is not None:
            ip, interface = best
            found.append(Gateway(ip=ip, interface=interface, own_ip=own_ip))
    return found


def parse_v4(text: str) -> tuple[str, str] | None:
    """Return address and interface of the default gateway in the kernel's IPv4 table, if there is one."""
    best: tuple[int, str, str] | None = None
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        interface, destination, gateway, flags, metric, mask = (fields[n] for n in (0, 1, 2, 3, 6, 7))
        if int(destination, 16) or int(mask, 16) or int(flags, 16) & (_UP | _GATEWAY) != _UP | _GATEWAY:
            continue
        ip = socket.inet_ntoa(struct.pack("=I", int(gateway, 16)))
        if best is None or int(metric) < best[0]:
            best = int(metric), ip, interface
    return best and best[1:]


def parse_v6(text: str) -> tuple[str, str] | None:
    """Return address, with scope where it needs one, and interface of the IPv6 default gateway, if there is one."""
    best: tuple[int, str, str] | None = None
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10:
            continue
        destination, length, gateway, metric, flags, interface = (fields[n] for n in (0, 1, 4, 5, 8, 9))
        if int(destination, 16) or int(length, 16) or int(flags, 16) & (_UP | _GATEWAY) != _UP | _GATEWAY:
            continue
        ip = ipaddress.IPv6Address(bytes.fromhex(gateway))
        scoped = f"{ip}%{interface}" if ip.is_link_local else str(ip)
        if best is None or int(metric, 16) < best[0]:
            best = int(metric, 16), scoped, interface
    return best and best[1:]


def own_address(family: socket.AddressFamily) -> str | None:
    """Our address as packets to the outside carry it; None when there is no way out. Sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_FAR[family], 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(_MOST_ROUTES_BYTES)
    except OSError:
        return ""
