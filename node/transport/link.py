"""One link: a connection and its socket, joined by asyncio.

The shell only moves bytes, events and timers; nothing in it looks into a message. Reads land in a buffer of the link's
own. What they bring is handed on in turns, so that a peer that sends crowds of messages does not keep the loop from
everybody else, and nothing more is read of it meanwhile. Writes are pulled from the connection in small batches as the
socket takes them, so that an urgent message never queues behind more than one batch here and a little in the kernel.
Works the same on asyncio's loop and on uvloop, which does not copy what is written: every batch is a fresh buffer.

Callbacks run from the loop, one after the other, never inside `send`. One that raises is reported to the loop's
exception handler, and the link goes on with the next event.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from crypto.identity import PeerId
from node.transport.errors import LinkClosed
from node.transport.pace import Gate, Pace
from node.transport.reading import Reading
from node.transport.sockets import peer_address, tune
from wire import limits
from wire.codes import Code
from wire.connection import Connection
from wire.connection_table import State
from wire.errors import IllegalState
from wire.events import Closed, ConnectionEvent, Established, MessageReceived
from wire.handshake import Peer
from wire.messages.base import Message
from wire.types import Address

TURN_EVENTS: Final = 64
"""Handed on before others have their turn."""
WRITE_BATCH_BYTES: Final = 256 * 1024
"""Asked of the connection at once; what has left it can no longer be overtaken."""
WRITE_HIGH_BYTES: Final = 128 * 1024
"""The transport asks us to pause above this, and to go on below the next."""
WRITE_LOW_BYTES: Final = 32 * 1024
DRAINED_BYTES: Final = 1024 * 1024
"""`drain` returns below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCallbacks:
    """What a link tells its owner. None may block; all run on the loop's thread."""

    on_connected: Callable[[Link], bool]
    """The socket is connected; False hangs up at once, without a word."""
    on_established: Callable[[Link], None]
    on_message: Callable[[Link, Message], None]
    on_closed: Callable[[Link, Code, str], None]
    """The link is over; called once, also for one that was never established."""
    on_disconnected: Callable[[Link], None]
    """The socket is gone; called once for every link that was connected."""


class Link(asyncio.BufferedProtocol):
    """A persistent, authenticated, encrypted link to one peer. Made by the pool, handed out once established."""

    def __init__(
        self,
        connection: Connection,
        callbacks: LinkCallbacks,
        *,
        inbound: bool,
        remote: Address | None = None,
        via: PeerId | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.inbound = inbound
        self.via = via
        """The relay that carries this link; `remote` is its address then. None for a direct link."""
        self.retired = False
        """Whether another link to this peer is used instead; this one only finishes what it began."""
        self.closed = asyncio.Event()
        """Set once the socket is gone."""
        self.since = self.last_used = time.monotonic()
        """When a message was last sent or received."""
        self.sent_bytes = self.received_bytes = 0
        """What has passed through its stream, encrypted."""
        self._connection = connection
        self._callbacks = callbacks
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._inbox: deque[ConnectionEvent] = deque()
        self._dispatch_due = self._answering = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._ending: Closed | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._drain_waiters: list[asyncio.Future[None]] = []
        # What a relay carries is counted on the link to the relay.
        self._pace = pace if via is None else None
        self._reading = Reading(None if self._pace is None else self._pace.download)
        self._seen_bytes = self._urgent_bytes = 0

    @property
    def peer(self) -> Peer:
        """Who is at the other end. Raises `IllegalState` before the link is established."""
        if self._connection.peer is None:
            raise IllegalState("the link is not established")
        return self._connection.peer

    @property
    def established(self) -> bool:
        """Whether the handshake was ever finished."""
        return self._connection.peer is not None

    @property
    def peer_id(self) -> PeerId:
        """The peer's proved identity."""
        return self.peer.peer_id

    @property
    def remote(self) -> Address:
        """The address at the other end of the socket."""
        if self._remote is None:
            raise IllegalState("the link is not connected")
        return self._remote

    @property
    def local(self) -> Address | None:
        """This end's address; None for a link that a relay carries, and before it is connected."""
        name = None if self._transport is None else self._transport.get_extra_info("sockname")
        return None if self.via is not None or not name else Address(name[0], name[1])

    @property
    def state(self) -> State:
        """The connection's state."""
        return self._connection.state

    @property
    def round_trip_s(self) -> float:
        """The smoothed round trip."""
        return self._connection.round_trip_s

    @property
    def pending_bytes(self) -> int:
        """Bytes queued here that the socket has not taken."""
        return self._connection.pending_bytes

    @property
    def crowded(self) -> bool:
        """Whether `drain` would wait."""
        return self._connection.pending_bytes > DRAINED_BYTES

    def send(self, message: Message) -> None:
        """Queue a message and return at once. Its body must not change until it has left; see `drain`.

        Raises:
            LinkClosed: the link is over.
            InvalidValue: the message is longer than a peer accepts.
        """
        if self._connection.state is State.CLOSED:
            raise self.closed_error()
        self.last_used = now = time.monotonic()
        self._connection.send(message, now=now)
        # What answers a batch of messages leaves as one: each write alone may cost a turn of the interpreter.
        if not self._answering or self.crowded or (self._pace is not None and self._pace.upload.limited):
            self._pump()

    async def drain(self) -> None:
        """Wait until less than `DRAINED_BYTES` are queued. Raises `LinkClosed` when the link ends first."""
        if self._connection.state is State.CLOSED:
            raise self.closed_error()
        if self.crowded:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def closed_error(self) -> LinkClosed:
        """Why the link is over."""
        ending = self._ending or Closed(code=Code.CONNECTION_LOST, detail="", by_peer=False)
        return LinkClosed(self._remote, ending.code, ending.detail, by_peer=ending.by_peer)

    async def ready(self) -> None:
        """Wait until the link is established. Raises `LinkClosed` when it ends first."""
        await asyncio.shield(self._ready)

    def hang_up(self, code: Code, detail: str = "") -> None:
        """Say goodbye and close, without waiting; the socket is gone `GOODBYE_GRACE_S` later at the latest."""
        self._connection.close(code, detail, now=time.monotonic())
        self._pump()

    async def close(self, code: Code, detail: str = "") -> None:
        """Say goodbye and wait until the socket is gone."""
        self.hang_up(code, detail)
        if self._transport is not None:
            await self.closed.wait()

    def abort(self) -> None:
        """Drop the socket now, with whatever is queued."""
        if self._transport is not None:
            self._transport.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        tune(transport)
        self._reading.begin(self._transport)
        if self._remote is None:
            self._remote = peer_address(transport.get_extra_info("peername"))
        if self._remote is None or not self._callbacks.on_connected(self):
            self._transport.abort()
            return
        self._pump()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next read goes."""
        return self._reading.space()

    def buffer_updated(self, nbytes: int) -> None:
        """A read has filled the buffer's beginning."""
        waiting = len(self._inbox)
        self.received_bytes += nbytes
        self._connection.receive_data(self._reading.filled(nbytes), now=time.monotonic())
        self._pump()
        self._reading.count(nbytes, len(self._inbox) - waiting)

    def eof_received(self) -> None:
        """The peer closed its side; the transport closes ours."""
        self._connection.receive_eof(now=time.monotonic())
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The socket is gone."""
        self._transport = None
        self._reading.end()
        if self._pace is not None:
            self._pace.upload.leave(self._pump)
        self._connection.receive_eof(now=time.monotonic())
        self._pump()
        self._cancel_timer()
        self.closed.set()
        self._loop.call_soon(self._disconnected)

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport can take more."""
        self._paused = False
        self._pump()

    # The machinery.

    def _pump(self) -> None:
        """After anything happened: collect events, write what can be written, set the timer."""
        events = self._connection.events()
        if events:
            self._inbox += events
            last = events[-1]
            if isinstance(last, Closed):
                self._end(last)
            if not self._dispatch_due:
                self._dispatch_due = True
                self._loop.call_soon(self._dispatch)
            if len(self._inbox) > TURN_EVENTS:
                self._reading.hold(behind=True)
        self._write()
        self._set_timer()

    def _dispatch(self) -> None:
        """Hand a turn's events to the owner. Runs from the loop, which reports what a callback raises."""
        self._answering = True
        try:
            for _ in range(min(TURN_EVENTS, len(self._inbox))):
                self._handle(self._inbox.popleft())
        finally:
            self._answering = False
            self._dispatch_due = bool(self._inbox)
            if self._dispatch_due:
                self._loop.call_soon(self._dispatch)
            else:
                self._reading.hold(behind=False)
            self._pump()

    def _disconnected(self) -> None:
        """Say that the socket is gone, after all that was read from it."""
        if self._inbox:
            self._loop.call_soon(self._disconnected)
        else:
            self._callbacks.on_disconnected(self)

    def _handle(self, event: ConnectionEvent) -> None:
        match event:
            case MessageReceived(message):
                self.last_used = time.monotonic()
                self._callbacks.on_message(self, message)
            case Established():
                if not self._ready.done():
                    self._ready.set_result(None)
                self._callbacks.on_established(self)
            case Closed(code=code, detail=detail):
                if not self._ready.done():
                    self._ready.set_exception(self.closed_error())
                    self._ready.exception()  # Marks it as seen: nobody may be waiting for it.
                self._callbacks.on_closed(self, code, detail)

    def _end(self, event: Closed) -> None:
        """The connection is over: leave the goodbye a little time, then drop the socket."""
        self._ending = event
        self._wake_drainers(self.closed_error())
        self._cancel_timer()
        self._timer_at = float("-inf")
        self._timer = self._loop.call_later(limits.GOODBYE_GRACE_S, self.abort)

    def _write(self) -> None:
        transport = self._transport
        if transport is None:
            return
        connection = self._connection
        if self._pace is not None and self._pace.upload.limited:
            self._write_in_turn(transport, self._pace.upload)
        else:
            while connection.pending_bytes and not self._paused:
                for buffer in connection.data_to_send(WRITE_BATCH_BYTES, now=time.monotonic()):
                    transport.write(buffer)
                    self.sent_bytes += len(buffer)
            # Should there be a limit from now on, it begins with what is left.
            self._seen_bytes, self._urgent_bytes = connection.pending_bytes, 0
        if self._drain_waiters and connection.pending_bytes <= DRAINED_BYTES:
            self._wake_drainers(None)
        if connection.state is State.CLOSED and not connection.pending_bytes:
            transport.close()

    def _write_in_turn(self, transport: asyncio.Transport, gate: Gate) -> None:
        """Write while the gate lets us; it calls `_pump` when our turn has come. A goodbye does not wait."""
        connection = self._connection
        grown = connection.pending_bytes - self._seen_bytes
        # Each message is seen here by itself, so what is short was queued as urgent and leaves first.
        if 0 < grown <= limits.URGENT_MESSAGE_BYTES:
            self._urgent_bytes += grown
        while connection.pending_bytes and not self._paused:
            urgent = self._urgent_bytes > 0
            if connection.state is not State.CLOSED and not gate.may(self._pump, urgent=urgent):
                break
            before, batch = connection.pending_bytes, gate.quantum_bytes
            if urgent:
                batch = min(batch, self._urgent_bytes)
            for buffer in connection.data_to_send(batch, now=time.monotonic()):
                transport.write(buffer)
                self.sent_bytes += len(buffer)
                gate.spend(len(buffer))
            self._urgent_bytes = max(0, self._urgent_bytes - (before - connection.pending_bytes))
        self._seen_bytes = connection.pending_bytes

    def _wake_drainers(self, error: LinkClosed | None) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def _set_timer(self) -> None:
        now = time.monotonic()
        # No deadline that came up since the timer was set is nearer than this, so there is nothing to move.
        if self._timer_at <= now + limits.ACK_DELAY_S:
            return
        due = self._connection.next_timeout()
        if due is not None and due < self._timer_at:
            self._cancel_timer()
            self._timer_at = due
            self._timer = self._loop.call_later(max(0.0, due - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self._connection.on_time(now=time.monotonic())
        self._pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._timer_at = float("inf")
