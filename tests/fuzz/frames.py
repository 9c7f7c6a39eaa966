"""Fuzz target: any bytes are records and messages in bounds, or `BadFrame`, however they are cut."""

from __future__ import annotations

from wire import limits
from wire.errors import BadFrame
from wire.frames import Assembler, RecordCutter, message_head

SEEDS = (
    message_head(b"h" * 40, 100) + bytes(100) + message_head(b"i", 0),
    message_head(b"h" * 1000, 1) + b"b",
    b"\x00\x20" + bytes(32) + b"\x00\x01x\xff\xff",
)


def lane(data: bytes, size: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    """What a lane makes of `data` in pieces of `size`, and whether it broke."""
    assembler = Assembler()
    found: list[tuple[bytes, bytes]] = []
    try:
        for at in range(0, len(data), size):
            for header, body in assembler.feed(memoryview(data)[at : at + size]):
                assert 1 <= len(header) <= limits.MAX_HEADER_BYTES
                found.append((bytes(header), bytes(body)))
    except BadFrame:
        return found, True
    return found, False


def records(data: bytes, size: int) -> tuple[list[bytes], bool]:
    """What a cutter makes of `data` in pieces of `size`, and whether it broke."""
    cutter = RecordCutter()
    cutter.expect(1, 1000)
    found: list[bytes] = []
    try:
        for at in range(0, len(data), size):
            found += [bytes(record) for record in cutter.feed(memoryview(data)[at : at + size])]
            assert cutter.buffered_bytes <= 1002
    except BadFrame:
        return found, True
    return found, False


def fuzz(data: bytes) -> None:
    """Read whole and in pieces; both must come to the same."""
    whole, broken = lane(data, len(data) or 1)
    for size in (1, 17):
        pieces, also_broken = lane(data, size)
        assert also_broken == broken
        assert broken or pieces == whole
        assert records(data, size)[1] == records(data, len(data) or 1)[1]
