"""Questions to the router over UDP, repeated until it answers; what others send is not even looked at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WAITS_S: Final = (0.25, 0.5, 1.0, 2.0)
"""How long to wait after each repetition (RFC 6886 §3.1 begins so; its 64 s in all would hold up the next method)."""
MOST_DATAGRAMS: Final = 64
"""Security limit: datagrams looked at in one exchange; a router that sends more is not answering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent, to whom, and what counts as its answer."""

    own_ip: str
    """The address to send from."""
    router: str
    """The only address whose datagrams count; with its scope, when it is link-local."""
    port: int
    datagrams: Sequence[bytes]
    """Sent together, each time."""
    is_answer: Callable[[bytes], bool]
    group: str | None = None
    """A multicast group to send to as well, at the same port."""


async def ask(question: Question, waits_s: Sequence[float] = WAITS_S) -> bytes | None:
    """Return the router's answer, or None when it gives none in time. Errors of the network count as no answer."""
    loop = asyncio.get_running_loop()
    try:
        sock = _socket(question)
    except OSError:
        return None
    ear = _Ear(question)
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: ear, sock=sock)
    except OSError:
        sock.close()
        return None
    try:
        for wait_s in waits_s:
            for data in question.datagrams:
                transport.sendto(data, (question.router, question.port))
                if question.group is not None:
                    transport.sendto(data, (question.group, question.port))
            try:
                async with asyncio.timeout(wait_s):
                    return await asyncio.shield(ear.answer)
            except TimeoutError:
                continue
        return None
    finally:
        ear.answer.cancel()
        transport.close()


def _socket(question: Question) -> socket.socket:
    family = socket.AF_INET6 if ":" in question.router else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((question.own_ip, 0))
        if question.group is not None:
            interface = socket.inet_aton(question.own_ip)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
    except OSError:
        sock.close()
        raise
    return sock


class _Ear(asyncio.DatagramProtocol):
    """Keeps the first datagram of the router that is an answer."""

    def __init__(self, question: Question) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._question = question
        self._left = MOST_DATAGRAMS

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        ip = str(addr[0]).partition("%")[0]
        if self.answer.done() or not self._left or ip != self._question.router.partition("%")[0]:
            return
        if self._question.group is None and addr[1] != self._question.port:
            return
        self._left -= 1
        if self._question.is_answer(data):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A port that is closed is no answer; the next repetition may find it open."""
