"""Fuzz target: any header and body are a message in bounds or `BadMessage`."""

from __future__ import annotations

from scripts.make_message_vectors import MESSAGES
from wire import codec
from wire.errors import BadMessage

SEEDS = tuple(codec.encode(message)[0] + b"\x00" + bytes(8) for _, message in MESSAGES)
"""Every message there is."""


def fuzz(data: bytes) -> None:
    """Take the last nine bytes as a body, or as none; what decodes must encode to a message that equals it."""
    for header, body in ((data, b""), (data[:-9], data[-8:])):
        try:
            message = codec.decode(header, memoryview(bytearray(body)))
        except BadMessage:
            continue
        again, same = codec.encode(message)
        assert codec.decode(again, same) == message
