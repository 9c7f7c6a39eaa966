"""The control socket of a running host: takes clients of the same user and gives each a `Connection`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from node.control import place
from node.control.codes import ErrorCode
from node.control.commands import Handlers
from node.control.connection import AnyHandler, Connection
from node.control.credentials import HasOptions, PeerProcess, read_peer
from node.control.errors import CredentialsUnknown
from node.control.limits import CLOSE_S, MAX_CLIENTS, MAX_REQUEST_BYTES, STALL_S

log = logging.getLogger(__name__)


class ControlServer:
    """Answers requests at a Unix socket, from `start` to `close`."""

    def __init__(
        self,
        path: Path,
        handlers: Handlers,
        *,
        read_peer: Callable[[HasOptions], PeerProcess] = read_peer,
        stall_s: float = STALL_S,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            path: where the socket belongs; `place.default_path()` is where clients look for it.
            handlers: what does the work; commands that are missing are answered `unsupported`.
            read_peer: who is at the other end of a socket.
            stall_s: how long a client may leave its answers unread.
        """
        self.path = path
        # A mapping by name is what a TypedDict is; its values differ in their arguments, which the table checks.
        self._handlers = cast("Mapping[str, AnyHandler]", handlers)
        self._read_peer = read_peer
        self._stall_s = stall_s
        self._claim: place.Claim | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        """Those that were refused too, while they are told so."""
        self._closing = False

    @property
    def clients(self) -> int:
        """Connections that are open."""
        return len(self._clients)

    async def start(self) -> None:
        """Take clients from now on.

        Raises:
            HostIsRunning: another host has this socket.
            PlaceUnsafe: other users could replace it.
            PlaceUnusable: it cannot be made there.
            CredentialsUnknown: this system does not tell who connects, so that nobody could be let in.
        """
        claim = place.claim(self.path)
        self._closing = False
        try:
            self._server = await asyncio.start_unix_server(
                self._on_client, sock=claim.listener, limit=MAX_REQUEST_BYTES
            )
        finally:
            if self._server is None:
                claim.release()
        self._claim = claim

    async def close(self) -> None:
        """End all connections and take the socket away; requests under way are cancelled. May be called again."""
        if self._server is None or self._claim is None:
            return
        server, self._server = self._server, None
        self._closing = True
        try:
            server.close()
            for task in self._clients:
                task.cancel()
            if self._clients:
                await asyncio.wait(self._clients, timeout=2 * CLOSE_S)
        finally:
            self._claim.release()
            self._claim = None

    def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= 2 * MAX_CLIENTS:
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self._handlers, stall_s=self._stall_s)
        if self._closing:
            work = connection.refuse(ErrorCode.SHUTTING_DOWN, "the host is ending", "ask again when it runs")
        elif (why := self._stranger(writer)) is not None:
            log.warning("a control client was refused: %s", why)
            work = connection.refuse(ErrorCode.NOT_ALLOWED, why, "ask as the user who runs the host")
        elif len(self._clients) >= MAX_CLIENTS:
            cause = f"{MAX_CLIENTS} control clients are connected"
            work = connection.refuse(ErrorCode.TOO_MANY_CLIENTS, cause, "end one of them")
        else:
            work = connection.run()
        task = asyncio.create_task(work, name="control client")
        self._clients.add(task)
        task.add_done_callback(self._on_gone)

    def _stranger(self, writer: asyncio.StreamWriter) -> str | None:
        """Why this client has no business here; None when it has."""
        connected: Any = writer.get_extra_info("socket")
        try:
            peer = self._read_peer(connected)
        except CredentialsUnknown as error:
            return error.cause
        if peer.may_control(os.geteuid()):
            return None
        return f"user {peer.uid} is neither the one who runs this host nor root"

    def _on_gone(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a control client ended by a defect of this program", exc_info=error)
