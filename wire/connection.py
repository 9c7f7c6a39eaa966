"""One encrypted, authenticated connection between two peers, without a socket: bytes and time in, events and bytes out.

The shell feeds what arrives to `receive_data`, drains `events` and `data_to_send`, and calls `on_time` when
`next_timeout` has come. `receive_data` never raises for what a peer did: a violation closes the connection, tells the
peer why, and is reported as `Closed`. Not here: how a handshake proves a peer (`handshake`), how bytes are cut
(`frames`, `lanes`) and sealed (`channel`), when a silent peer is dead (`liveness`), which orders are legal
(`connection_table`). Spec: `specs/wire.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crypto.digest import Buffer
from crypto.identity import PeerId
from wire import codec, limits
from wire.channel import LEAST_RECORD_BYTES, Channel
from wire.codes import Code, known
from wire.connection_table import TABLE, Input, State
from wire.errors import BadMessage, IllegalState, InvalidValue, RemoteError
from wire.events import Closed, ConnectionEvent, Established, MessageReceived
from wire.frames import LENGTH_BYTES, Lane, RecordCutter, message_head
from wire.handshake import ConnectionConfig, Introduction, Peer
from wire.lanes import Outbox
from wire.liveness import Growth, Liveness
from wire.messages.base import Message
from wire.messages.link import Ack, Goodbye, Hello, Ping, Pong, Unsupported

__all__ = ["Connection", "ConnectionConfig"]

_LINK_INPUTS: Final[Mapping[type[Message], Input]] = {
    Hello: Input.HELLO,
    Ping: Input.PING,
    Pong: Input.PONG,
    Ack: Input.ACK,
    Goodbye: Input.GOODBYE,
    Unsupported: Input.UNSUPPORTED,
}


class Connection:
    """One side of a connection; see the module's docstring for how to drive it."""

    def __init__(self, config: ConnectionConfig, *, now: float) -> None:
        self.state: State = State.AWAIT_SECOND if config.initiator else State.AWAIT_FIRST
        self.peer: Peer | None = None
        self._config = config
        self._now = now
        self._introduction = Introduction(config)
        self._deadline = now + limits.HANDSHAKE_TIMEOUT_S
        self._greeted_at = now
        self._greetings: list[Buffer] = []
        self._greeting_bytes = 0
        self._events: list[ConnectionEvent] = []
        self._cutter = RecordCutter()
        self._channel: Channel | None = None
        self._growths = tuple(Growth() for _ in Lane)
        self._outbox = Outbox()
        self._liveness = Liveness(now, round_trip_s=0.0)
        if config.initiator:
            self._greet(self._introduction.first())
        self._cutter.expect(*self._introduction.expected_bytes)

    @property
    def peer_id(self) -> PeerId | None:
        """The peer's proved identity; None until established."""
        return self.peer.peer_id if self.peer is not None else None

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for `data_to_send`, before encryption."""
        return self._outbox.pending_bytes + self._greeting_bytes

    @property
    def round_trip_s(self) -> float:
        """The smoothed round trip to the peer: from the handshake at first, then from pings."""
        return self._liveness.round_trip_s

    @property
    def _closed(self) -> bool:
        return self.state is State.CLOSED

    def receive_data(self, data: Buffer, *, now: float) -> None:
        """Take bytes from the stream, cut anywhere. They may be reused by the caller afterwards."""
        self._now = now
        if self._closed:
            return
        try:
            self._receive(data)
        except RemoteError as error:
            self._finish(Input.VIOLATION, error.code, error.detail)

    def receive_eof(self, *, now: float) -> None:
        """The peer will send nothing more, or the stream broke."""
        self._now = now
        where = "" if self.state is State.ESTABLISHED else " before the handshake was over"
        self._finish(Input.EOF, Code.CONNECTION_LOST, f"the peer hung up{where}", by_peer=True)

    def events(self) -> list[ConnectionEvent]:
        """Return what has happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def send(self, message: Message, *, now: float) -> None:
        """Queue a message. Its body is not copied and must not change until it has left.

        Past `SEND_QUEUE_BYTES` the peer is taken to have stopped reading, and the connection closes.

        Raises:
            IllegalState: not established.
            InvalidValue: longer than a message may be, or one of the connection's own messages.
        """
        self._now = now
        if self.state is not State.ESTABLISHED:
            raise IllegalState(
                f"cannot send {message.declaration.name}: the connection is {self.state.value}"
            )
        if type(message) in _LINK_INPUTS:
            raise InvalidValue(f"{message.declaration.name} is sent by the connection itself")
        if self._outbox.held_bytes > limits.SEND_QUEUE_BYTES:
            queued = f"{self._outbox.held_bytes >> 20} MiB are queued"
            self._finish(Input.TIMEOUT, Code.TIMEOUT, f"{queued} and the peer does not read them")
            return
        # The peer hears of what we received as part of a packet that leaves anyway.
        ack = self._liveness.ack(now, least_wait_s=limits.ACK_DELAY_S / 2)
        if ack is not None:
            self._put(ack, counted=False)
        self._put(message)

    def data_to_send(self, limit: int | None = None, *, now: float | None = None) -> list[Buffer]:
        """Return buffers to write, in order, urgent messages first; empty when nothing waits.

        Args:
            limit: about how many bytes to return; at least one record comes out when any waits. What stays here can
                still be overtaken by an urgent message; what is returned cannot.
            now: the time, if it has gone on since the last call.

        Returns:
            Fresh buffers; they are the caller's, and never written again here.
        """
        buffers, self._greetings, self._greeting_bytes = self._greetings, [], 0
        if now is not None:
            self._now = now
        if self._channel is not None and self._outbox.pending_bytes:
            buffers.append(self._channel.seal(self._outbox, limit))
            self._liveness.output(
                completed=self._outbox.completed, waiting=self._outbox.pending_bytes > 0, now=self._now
            )
        return buffers

    def close(self, code: Code, detail: str = "", *, now: float) -> None:
        """Be closed, and say goodbye once the urgent messages have left; what is bulk is dropped."""
        self._now = now
        self._finish(Input.CLOSE, code, detail)

    def next_timeout(self) -> float | None:
        """When `on_time` must be called at the latest; None when never."""
        if self._closed:
            return None
        if self.state is not State.ESTABLISHED:
            return self._deadline
        return min(
            self._liveness.next_timeout(),
            *(growth.since + limits.STALL_TIMEOUT_S for growth in self._growths),
        )

    def on_time(self, *, now: float) -> None:
        """Do what time demands: acknowledge, ping, or give the peer up."""
        self._now = now
        if self._closed:
            return
        if self.state is not State.ESTABLISHED:
            if now >= self._deadline:
                self._finish(
                    Input.TIMEOUT, Code.TIMEOUT, f"no handshake within {limits.HANDSHAKE_TIMEOUT_S:g} s"
                )
            return
        try:
            for growth in self._growths:
                growth.check(now)
        except RemoteError as error:
            self._finish(Input.TIMEOUT, error.code, error.detail)
            return
        verdict = self._liveness.verdict(now)
        if verdict is not None:
            self._finish(Input.TIMEOUT, Code.TIMEOUT, verdict)
            return
        for due in (self._liveness.ack(now, least_wait_s=limits.ACK_DELAY_S), self._liveness.ping(now)):
            if due is not None:
                self._put(due, counted=False)

    def _advance(self, what: Input) -> None:
        """Go where the table says. Raises `BadMessage` when the peer may not do this here."""
        target = TABLE.get((self.state, what))
        if target is None:
            raise BadMessage(f"{what.value} while {self.state.value}")
        self.state = target

    def _greet(self, message: bytes) -> None:
        self._greetings.append(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        self._greeting_bytes += len(message) + LENGTH_BYTES
        self._greeted_at = self._now

    def _receive(self, data: Buffer) -> None:
        for record in self._cutter.feed(data):
            if self._channel is not None:
                self._receive_record(self._channel, record)
            else:
                self._receive_handshake(record)
            if self._closed:
                return

    def _receive_handshake(self, record: memoryview) -> None:
        try:
            answer, peer = self._introduction.receive(record)
        except RemoteError:
            if self._introduction.complete:
                self._channel = Channel(self._introduction.keys())
            raise
        round_trip_s = self._now - self._greeted_at
        if answer is not None:
            self._greet(answer)
        self._advance(Input.HANDSHAKE)
        self._cutter.expect(*self._introduction.expected_bytes)
        if peer is None:
            return
        self.peer = peer
        self._channel = Channel(self._introduction.keys())
        self._cutter.expect(LEAST_RECORD_BYTES, limits.MAX_NOISE_MESSAGE_BYTES)
        self._liveness = Liveness(self._now, round_trip_s=round_trip_s)
        self._events.append(
            Established(
                peer_id=peer.peer_id,
                static_key=peer.static_key,
                agent=peer.agent,
                features=peer.features,
                version=peer.version,
            )
        )

    def _receive_record(self, channel: Channel, record: memoryview) -> None:
        lane, frames = channel.open(record)
        self._liveness.heard(self._now)
        self._growths[lane].update(channel.lanes[lane], finished=bool(frames), now=self._now)
        for header, body in frames:
            self._receive_message(header, body)
            if self._closed:
                return

    def _receive_message(self, header: memoryview, body: memoryview) -> None:
        try:
            message = codec.decode(header, body)
        except codec.UnknownMessage as unknown:
            self._advance(Input.UNKNOWN)
            self._liveness.received(self._now)
            self._liveness.chatter.spend(self._now)
            self._put(Unsupported(id=unknown.message_id))
            return
        what = _LINK_INPUTS.get(type(message), Input.MESSAGE)
        if what is Input.MESSAGE:
            self._liveness.received(self._now)
            self._events.append(MessageReceived(message))
            return
        if isinstance(message, Goodbye):
            code = known(message.code)
            detail = message.detail if code is not None else f"{message.detail} (code {message.code})"
            self._finish(Input.GOODBYE, code or Code.CONNECTION_LOST, detail, by_peer=True)
            return
        self._advance(what)
        self._liveness.chatter.spend(self._now)
        match message:
            case Ping(nonce=nonce):
                self._put(Pong(nonce=nonce), counted=False)
            case Pong(nonce=nonce):
                self._liveness.on_pong(nonce, self._now)
            case Ack(count=count):
                self._liveness.on_ack(count, self._now)
            case _:
                self._liveness.received(self._now)
                self._events.append(MessageReceived(message))

    def _put(self, message: Message, *, counted: bool = True) -> None:
        header, body = codec.encode(message)
        if isinstance(body, memoryview) and body.format != "B":
            body = body.cast("B")
        self._outbox.put(
            message_head(header, len(body)), body, key=getattr(message, "session", None), counted=counted
        )
        self._liveness.queued(self._now)

    def _finish(self, why: Input, code: Code, detail: str, *, by_peer: bool = False) -> None:
        """Close, once: tell the peer unless it told us, and report it."""
        was_closed = self._closed
        self.state = TABLE[self.state, why]
        if was_closed:
            return
        if why is Input.CLOSE:
            self._outbox.drop_bulk()
        else:
            self._outbox.clear()
        if self._channel is not None and not by_peer:
            self._put(Goodbye(code=code, detail=_speakable(detail)), counted=False)
        self._events.append(Closed(code=code, detail=detail, by_peer=by_peer))


def _speakable(detail: str) -> str:
    """What a peer accepts as words: printable and short."""
    return "".join(one if one.isprintable() else " " for one in detail[: limits.MAX_DETAIL_CHARS])
