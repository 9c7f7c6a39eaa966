"""Dial-backs on this machine's sockets: answers the questions of others, and asks our own.

What it needs of links comes in as arguments: how to open one for a single message, and how links look. Give it every
message of every link (`on_message`), every proof (`on_proof`) and every datagram of the UDP socket that others should
reach (`on_datagram`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from crypto.identity import PeerId
from node.errors import NodeError
from node.reach.dial_back import Asker, Dial, Dialler, Verdict, probe, probed
from wire import limits
from wire.messages.base import Message
from wire.messages.reach import DialBack, DialledBack, Proof, Transport
from wire.types import Address

log = logging.getLogger(__name__)

_PROBE_GAP_S: Final = 0.2
_TICK_S: Final = 0.5


class Line(Protocol):
    """What is needed of a link."""

    @property
    def peer_id(self) -> PeerId: ...
    @property
    def remote(self) -> Address: ...
    @property
    def via(self) -> PeerId | None: ...
    def send(self, message: Message) -> None: ...


class Prover:
    """One process's dial-backs. `run` it beside everything else."""

    def __init__(
        self,
        *,
        tell: Callable[[PeerId, Address, Message], Awaitable[None]],
        on_verdict: Callable[[Verdict], None] = lambda _: None,
        datagrams: bool = True,
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Say how to act.

        Args:
            tell: opens a link to exactly that peer and address, gives it one message, and returns when it was taken;
                raises `NodeError` when that fails.
            on_verdict: told of every question that came to an end.
            datagrams: whether UDP dial-backs are done for others.
            sent: told of the bytes of each datagram.
        """
        self._tell = tell
        self._on_verdict = on_verdict
        self._datagrams = datagrams
        self._sent = sent
        self._asker = Asker()
        self._dialler = Dialler()
        self._waiting: dict[PeerId, list[asyncio.Future[Verdict]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await asyncio.sleep(_TICK_S)
                    self._conclude(self._asker.on_time(time.monotonic()))
            finally:
                self._group = None

    async def ask(self, line: Line, transport: Transport, port: int) -> Verdict | None:
        """Ask a peer to connect to our `port`; None when it cannot be asked now.

        For a UDP port choose a peer that our socket has not sent to: a router lets answers of those in anyway.
        """
        if line.via is not None or self._group is None or line.peer_id in self._waiting:
            return None
        nonce = secrets.token_bytes(limits.DIAL_BACK_NONCE_BYTES)
        now = time.monotonic()
        question = self._asker.ask(line.peer_id, line.remote, transport, port, nonce=nonce, now=now)
        if question is None:
            return None
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[line.peer_id] = [answer]
        try:
            line.send(question)
            async with asyncio.timeout(limits.DIAL_BACK_TIMEOUT_S + 2 * _TICK_S):
                return await answer
        except (NodeError, TimeoutError) as error:
            log.debug("a dial-back could not be asked for: %s", error)
            return None
        finally:
            self._waiting.pop(line.peer_id, None)
            self._asker.forget(line.peer_id)

    def on_message(self, line: Line, message: Message) -> None:
        """Take a message of a link; what is not about dial-backs is not for this."""
        if isinstance(message, DialledBack):
            verdict = self._asker.on_answer(line.peer_id, message, time.monotonic())
            self._conclude([verdict] if verdict is not None else [])
        elif isinstance(message, DialBack):
            now = time.monotonic()
            carried = line.via is not None or self._group is None
            if message.transport is Transport.UDP and not self._datagrams:
                carried = True
            todo = self._dialler.on_question(line.peer_id, line.remote, message, carried=carried, now=now)
            if isinstance(todo, Dial) and self._group is not None:
                self._group.create_task(self._dial(line, todo))
            elif isinstance(todo, DialledBack):
                _send(line, todo)

    def on_proof(self, line: Line, message: Message) -> None:
        """Take the one message of a link that was opened for it."""
        if isinstance(message, Proof):
            self._asker.on_proof(message.nonce, line.peer_id)

    def on_datagram(self, datagram: bytes) -> bool:
        """Take a datagram if it is a probe; say whether it was."""
        nonce = probed(datagram)
        if nonce is not None:
            self._asker.on_proof(nonce, None)
        return nonce is not None

    def on_closed(self, peer: PeerId) -> None:
        """The link to a peer is gone."""
        self._conclude(self._asker.forget(peer))

    async def _dial(self, line: Line, todo: Dial) -> None:
        reached = False
        try:
            async with asyncio.timeout(limits.DIAL_TIMEOUT_S + limits.BRIEF_LINK_S):
                if todo.transport is Transport.TCP:
                    await self._tell(todo.peer, todo.address, Proof(nonce=todo.nonce))
                else:
                    await _throw(todo.address, probe(todo.nonce), self._sent)
                reached = True
        except (NodeError, OSError, TimeoutError) as error:
            log.debug("%s was not reached: %s", todo.address, error)
        finally:
            answer = self._dialler.over(todo, reached=reached)
        _send(line, answer)

    def _conclude(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self._on_verdict(verdict)
            for waiting in self._waiting.pop(verdict.by, []):
                if not waiting.done():
                    waiting.set_result(verdict)


def _send(line: Line, message: Message) -> None:
    try:
        line.send(message)
    except NodeError as error:
        log.debug("nobody is left to tell: %s", error)


async def _throw(address: Address, datagram: bytes, sent: Callable[[int], None]) -> None:
    """Send a few copies from a socket of their own, which the other's router has not seen."""
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        for _ in range(limits.PROBE_DATAGRAMS):
            sock.sendto(datagram, (address.ip, address.port))
            sent(len(datagram))
            await asyncio.sleep(_PROBE_GAP_S)
