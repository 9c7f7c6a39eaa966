"""Fuzz target: whatever a peer with valid keys puts into its records, there are events and never an exception."""

from __future__ import annotations

from tests.fakes.joined import Joined, bodyless, step
from wire import codec, limits
from wire.connection_table import State
from wire.events import Closed
from wire.frames import message_head
from wire.messages.base import Message
from wire.messages.link import Ack, Goodbye, Ping


def _framed(*messages: Message) -> bytes:
    framed = b""
    for message in messages:
        header, body = codec.encode(message)
        framed += message_head(header, len(body)) + bytes(body)
    return framed


SEEDS = (
    b"\x00" + _framed(step(64), bodyless()),
    b"\x01" + _framed(step(200)),
    b"\x00" + _framed(Ping(nonce=1), Ack(count=0), bodyless()),
    b"\x00" + _framed(bodyless(), Goodbye(code=1, detail="bye")),
)


class _Raw:
    """An outbox that holds one plaintext, lane and all."""

    def __init__(self, plaintext: bytes) -> None:
        self.pending_bytes = len(plaintext)
        self._plaintext = plaintext

    def fill(self, record: memoryview) -> int:
        record[: len(self._plaintext)] = self._plaintext
        self.pending_bytes = 0
        return len(self._plaintext)


def fuzz(data: bytes) -> None:
    """Seal `data` as one record's plaintext, and have the other side read it; then let time pass."""
    if not data:
        return
    pair = Joined.established()
    channel = pair.initiator._channel
    assert channel is not None
    record = channel.seal(_Raw(data[: limits.MAX_RECORD_PLAINTEXT_BYTES]), None)  # type: ignore[arg-type]  # acts as one
    side = pair.responder
    side.receive_data(record, now=pair.now)
    events = side.events()
    assert [isinstance(event, Closed) for event in events].count(True) == (side.state is State.CLOSED)
    for later in (3600, 7200):
        side.on_time(now=pair.now + later)
    assert side.state is State.CLOSED
