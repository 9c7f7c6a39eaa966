"""Accepting links: the server socket, and who may come in."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable

from node.transport.errors import AddressInUse, AddressUnavailable
from wire import limits
from wire.types import Address

BACKLOG = 128
"""Connections the kernel holds for us."""


async def listen(address: Address, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
    """Accept connections at `address`; port 0 takes a free one, see `bound_address`.

    Raises:
        AddressInUse: another program has the port.
        AddressUnavailable: the address is not this machine's, or the port is not ours to use.
    """
    try:
        return await asyncio.get_running_loop().create_server(
            factory, address.ip, address.port, backlog=BACKLOG
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                address,
                f"another program listens at {address}",
                "stop it, or choose another port (0 takes a free one)",
            ) from error
        raise AddressUnavailable(
            address,
            f"cannot listen at {address} ({error.strerror or error})",
            "choose an address of this machine and a port from 1024 up",
        ) from error


def bound_address(server: asyncio.Server) -> Address:
    """Where a server really listens."""
    ip, port = server.sockets[0].getsockname()[:2]
    return Address(ip, port)


class Doorkeeper:
    """Counts inbound links, by address and by handshake, and turns away what is past the bounds."""

    def __init__(self) -> None:
        self._by_ip: Counter[str] = Counter()
        self.handshakes = 0

    def admit(self, ip: str) -> bool:
        """Whether a new connection from `ip` may shake hands; if so it is counted."""
        if self.handshakes >= limits.MAX_HANDSHAKES or self._by_ip[ip] >= limits.MAX_LINKS_PER_ADDRESS:
            return False
        self._by_ip[ip] += 1
        self.handshakes += 1
        return True

    def greeted(self) -> None:
        """An admitted connection finished its handshake, or will not."""
        self.handshakes -= 1

    def leave(self, ip: str) -> None:
        """An admitted connection is gone."""
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]
