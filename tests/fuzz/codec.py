"""Fuzz target: any header and body are a message in bounds or `BadMessage`."""

from __future__ import annotations

from tests.fakes.joined import bodyless, step
from wire import codec
from wire.errors import BadMessage
from wire.messages.link import Ack, Goodbye, Hello

SEEDS = tuple(
    codec.encode(message)[0] + b"\x00" + bytes(8)
    for message in (
        step(8),
        bodyless(),
        Ack(count=3),
        Goodbye(code=1, detail="bye"),
        Hello(version=1, identity=bytes(32), signature=bytes(64), agent="a", features=(1, 2)),
    )
)


def fuzz(data: bytes) -> None:
    """Take the last nine bytes as a body, or as none; what decodes must encode to a message that equals it."""
    for header, body in ((data, b""), (data[:-9], data[-8:])):
        try:
            message = codec.decode(header, memoryview(bytearray(body)))
        except BadMessage:
            continue
        again, same = codec.encode(message)
        assert codec.decode(again, same) == message
