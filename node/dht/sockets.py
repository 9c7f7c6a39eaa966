"""The UDP sockets of one node: one for each address it listens at, IPv4 and IPv6 apart."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.dht.errors import CannotListen
from node.dht.places import is_v6
from node.dht.routing import Families
from wire.errors import InvalidValue
from wire.types import Address


def _ignore(_nbytes: int) -> None:
    """Where nothing is limited nobody counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Who is told of the bytes that pass; datagrams wait for nobody."""

    sent: Callable[[int], None] = _ignore
    received: Callable[[int], None] = _ignore


class Sockets:
    """Sends and receives datagrams. What the system refuses to send is lost, as any datagram may be."""

    def __init__(
        self,
        receive: Callable[[bytes, Address], None],
        *,
        count: Counters | None = None,
    ) -> None:
        """`receive` is called with each datagram and where it came from; `count` is told how long each is."""
        self._receive = receive
        self._count = count or Counters()
        self._transports: list[tuple[Address, asyncio.DatagramTransport]] = []

    async def open(self, addresses: Sequence[Address]) -> tuple[Address, ...]:
        """Listen; return where (port 0 takes a free one). Raises `CannotListen`, and then listens nowhere."""
        try:
            for address in addresses:
                self._transports.append(await self._bind(address))
        except CannotListen:
            await self.close()
            raise
        return tuple(address for address, _ in self._transports)

    @property
    def families(self) -> Families:
        """What can be sent to."""
        sixes = [is_v6(address.ip) for address, _ in self._transports]
        return Families(v4=not all(sixes), v6=any(sixes))

    def send(self, data: bytes, target: Address) -> None:
        """Send a datagram; never blocks nor raises for what the network refuses."""
        for address, transport in self._transports:
            if is_v6(address.ip) == is_v6(target.ip) and not transport.is_closing():
                transport.sendto(data, (target.ip, target.port))
                self._count.sent(len(data))
                return

    def abort(self) -> None:
        """Close all sockets; what waits to be sent is dropped."""
        for _, transport in self._transports:
            transport.abort()
        self._transports.clear()

    async def close(self) -> None:
        """Close all sockets."""
        for _, transport in self._transports:
            transport.close()
        self._transports.clear()
        # The loop closes the descriptors in its next turn.
        await asyncio.sleep(0)

    async def _bind(self, address: Address) -> tuple[Address, asyncio.DatagramTransport]:
        six = is_v6(address.ip)
        opened = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if six:
                # IPv4 has a socket of its own, so that no address is written in two ways.
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setblocking(False)
            opened.bind((address.ip, address.port))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Receiver(self._receive, self._count.received), sock=opened
            )
        except OSError as error:
            opened.close()
            raise _cannot(address, error) from error
        ip, port = opened.getsockname()[:2]
        return Address(ip, port), transport


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Address], None], count: Callable[[int], None]) -> None:
        self._receive = receive
        self._count = count

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._count(len(data))
        try:
            source = Address(addr[0], addr[1])
        except InvalidValue:
            return
        self._receive(data, source)

    def error_received(self, exc: Exception) -> None:
        """The system says that an earlier datagram did not arrive; its request finds out by itself."""


def send_aside(data: bytes, target: Address) -> bool:
    """Send a datagram from a port that is used for nothing else; false when the system refuses."""
    family = socket.AF_INET6 if is_v6(target.ip) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as aside:
            aside.setblocking(False)
            aside.sendto(data, (target.ip, target.port))
    except OSError:
        return False
    return True


def is_own(ip: str) -> bool:
    """Whether an IP is one of this machine's: only such a one can be bound."""
    try:
        address = ipaddress.ip_address(ip)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except (OSError, ValueError):
        return False
    return not address.is_unspecified


def _cannot(address: Address, error: OSError) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            address,
            f"another program receives datagrams at {address}",
            "stop it, or choose another port (0 takes a free one)",
        )
    return CannotListen(
        address,
        f"datagrams cannot be received at {address} ({error.strerror or error})",
        "choose an address of this machine and a port from 1024 up",
    )
