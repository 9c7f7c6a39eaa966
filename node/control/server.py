"""The control socket of a running host: takes clients of the same user and gives each a `Connection`.

Connections are accepted here and not by `asyncio.start_unix_server`, which loses one that comes while it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from node.control import place
from node.control.codes import ErrorCode
from node.control.commands import Handlers
from node.control.connection import AnyHandler, Connection
from node.control.credentials import HasOptions, PeerProcess, read_peer
from node.control.errors import CredentialsUnknown
from node.control.limits import CLOSE_S, MAX_CLIENTS, MAX_REQUEST_BYTES, STALL_S

log = logging.getLogger(__name__)

_TRY_AGAIN_S: Final = 1.0
"""After the system had no descriptor for a client."""


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
        self._clients: set[asyncio.Task[None]] = set()
        """Those that were refused too, while they are told so."""
        self._new: dict[asyncio.Task[None], socket.socket] = {}
        """Sockets of tasks that have not begun."""
        self._again: asyncio.TimerHandle | None = None

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
        """
        self._claim = place.claim(self.path)
        self._listen()

    async def close(self) -> None:
        """End all connections and take the socket away; requests under way are cancelled. May be called again."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        self._deafen(claim)
        try:
            for task in self._clients:
                task.cancel()
            if self._clients:
                await asyncio.wait(self._clients, timeout=2 * CLOSE_S)
        finally:
            claim.release()

    def _listen(self) -> None:
        self._again = None
        if self._claim is not None:
            asyncio.get_running_loop().add_reader(self._claim.listener, self._accept, self._claim)

    def _deafen(self, claim: place.Claim) -> None:
        asyncio.get_running_loop().remove_reader(claim.listener)
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _accept(self, claim: place.Claim) -> None:
        """Take one client."""
        try:
            accepted, _ = claim.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again
        except OSError as error:
            log.warning("no control client can be taken: %s", error)
            self._deafen(claim)
            self._again = asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._listen)
            return
        if len(self._clients) >= 2 * MAX_CLIENTS:
            accepted.close()
            return
        accepted.setblocking(False)
        task = asyncio.create_task(self._serve(accepted), name="control client")
        self._clients.add(task)
        self._new[task] = accepted
        task.add_done_callback(self._on_gone)

    async def _serve(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=accepted, limit=MAX_REQUEST_BYTES)
        task = asyncio.current_task()
        if task is not None:
            self._new.pop(task)
        connection = Connection(reader, writer, self._handlers, stall_s=self._stall_s)
        if (why := self._stranger(accepted)) is not None:
            log.warning("a control client was refused: %s", why)
            await connection.refuse(ErrorCode.NOT_ALLOWED, why, "ask as the user who runs the host")
        elif len(self._clients) > MAX_CLIENTS:
            cause = f"{MAX_CLIENTS} control clients are connected"
            await connection.refuse(ErrorCode.TOO_MANY_CLIENTS, cause, "end one of them")
        else:
            await connection.run()

    def _stranger(self, connected: HasOptions) -> str | None:
        """Why this client has no business here; None when it has."""
        try:
            peer = self._read_peer(connected)
        except CredentialsUnknown as error:
            return error.cause
        if peer.may_control(os.geteuid()):
            return None
        return f"user {peer.uid} is neither the one who runs this host nor root"

    def _on_gone(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        # A task that is cancelled before it has begun closes nothing.
        accepted = self._new.pop(task, None)
        if accepted is not None:
            accepted.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a control client ended by a defect of this program", exc_info=error)
