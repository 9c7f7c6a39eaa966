"""What is asked of a link's socket: whose it is, and that little waits in it in front of what is urgent."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

from wire.types import Address

KERNEL_UNSENT_BYTES: Final = 128 * 1024
"""What the kernel may hold beyond what is in flight: otherwise megabytes wait in front of an urgent message."""


def tune(transport: asyncio.BaseTransport) -> None:
    """Send at once, and hold little that waits to be sent. A transport without a socket is left as it is."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_UNSENT_BYTES)


def read_ahead(transport: asyncio.BaseTransport, nbytes: int) -> None:
    """Have the kernel hold so much that is not read yet: by itself it would take in megabytes."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, nbytes)


def peer_address(peername: object) -> Address | None:
    """The address of a socket's peer, an IPv4 one as such even on a dual-stack socket; None when it is gone already."""
    if not isinstance(peername, tuple):
        return None
    ip = ipaddress.ip_address(peername[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Address(str(ip), peername[1])
