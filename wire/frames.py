"""How bytes become records, and a lane's bytes become messages; and back. Nothing here knows a key or a message.

On the stream: `u16 length | Noise message`. In a transport record: `u8 lane | fragment`. Each lane's fragments, end to
end, are one byte stream of messages:

    u32 message size | u16 header size | CBOR header | zero padding to 64 | body

The size counts everything from its own first byte. Without a body there is no padding either. A message is gathered
in one bytearray that grows with what has arrived (a peer that announces 8 MiB makes us hold only what it sent) and is
then handed over for good, never reused: a tensor may alias its body. Spec: `specs/wire.md` §Framing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from crypto.digest import Buffer
from wire import limits
from wire.codes import Code
from wire.errors import BadFrame, InvalidValue

LENGTH_BYTES: Final = 2
TAG_BYTES: Final = 16
RECORD_OVERHEAD_BYTES: Final = LENGTH_BYTES + TAG_BYTES + 1
"""What a record costs beyond its fragment: length, tag, lane."""
MAX_FRAGMENT_BYTES: Final = limits.MAX_RECORD_PLAINTEXT_BYTES - 1

_PREFIX: Final = struct.Struct(">IH")
_ALIGN: Final = limits.BODY_ALIGNMENT_BYTES
_ZEROS: Final = bytes(_ALIGN)

Frame = tuple[memoryview, memoryview]
"""A message's CBOR header and its body."""


class Lane(IntEnum):
    """Two streams in one: what is urgent overtakes what is bulk, record by record."""

    URGENT = 0
    BULK = 1


def message_head(header: bytes, body_bytes: int) -> bytes:
    """Return all of a message that comes before its body.

    Raises:
        InvalidValue: the header or the message is longer than a peer would accept.
    """
    if not 1 <= len(header) <= limits.MAX_HEADER_BYTES:
        raise InvalidValue(f"a header of {len(header)} bytes; at most {limits.MAX_HEADER_BYTES} are allowed")
    size = _PREFIX.size + len(header)
    if not body_bytes:
        return _PREFIX.pack(size, len(header)) + header
    padding = -size % _ALIGN
    size += padding + body_bytes
    if size > limits.MAX_MESSAGE_BYTES:
        raise InvalidValue(f"a message of {size} bytes; at most {limits.MAX_MESSAGE_BYTES} are allowed")
    return _PREFIX.pack(size, len(header)) + header + _ZEROS[:padding]


class RecordCutter:
    """Cuts what a socket delivers into Noise messages, copying only what a read leaves unfinished."""

    __slots__ = ("_least", "_most", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        self.expect(1, limits.MAX_NOISE_MESSAGE_BYTES)

    def expect(self, least: int, most: int) -> None:
        """Refuse records of other lengths from now on, before their bytes arrive."""
        self._least = least
        self._most = most

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of a record that is not complete."""
        return len(self._partial)

    def feed(self, data: Buffer) -> Iterator[memoryview]:
        """Yield each complete Noise message; valid until the next is asked for.

        Raises:
            BadFrame: a length out of bounds.
        """
        view = memoryview(data)
        at, end = 0, len(view)
        partial = self._partial
        if partial:
            if len(partial) < LENGTH_BYTES:
                at = min(LENGTH_BYTES - len(partial), end)
                partial += view[:at]
                if len(partial) < LENGTH_BYTES:
                    return
            missing = LENGTH_BYTES + self._length(partial, 0) - len(partial)
            partial += view[at : at + missing]
            if at + missing > end:
                return
            at += missing
            self._partial = bytearray()
            yield memoryview(partial)[LENGTH_BYTES:]
        while end - at >= LENGTH_BYTES:
            length = self._length(view, at)
            start = at + LENGTH_BYTES
            if end - start < length:
                break
            at = start + length
            yield view[start:at]
        if at < end:
            self._partial += view[at:]

    def _length(self, data: bytearray | memoryview, at: int) -> int:
        length = data[at] << 8 | data[at + 1]
        if not self._least <= length <= self._most:
            raise BadFrame(f"a record of {length} bytes; {self._least} to {self._most} are allowed here")
        return length


class Assembler:
    """Gathers one lane's fragments into messages."""

    __slots__ = ("_buffer", "_header_end", "_size", "received_bytes")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0
        self._header_end = 0
        self.received_bytes = 0
        """All bytes ever fed."""

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, fragment: memoryview) -> list[Frame]:
        """Take a fragment, which is copied; return the messages it completes.

        Raises:
            BadFrame: sizes out of bounds or padding that is not zero; the lane cannot be read any further.
        """
        frames: list[Frame] = []
        at, end = 0, len(fragment)
        self.received_bytes += end
        while at < end:
            if not self._size:
                buffered = len(self._buffer)
                if buffered + end - at < _PREFIX.size:
                    self._buffer += fragment[at:]
                    break
                if buffered:
                    self._buffer += fragment[at : at + _PREFIX.size - buffered]
                    at += _PREFIX.size - buffered
                    self._read_prefix(self._buffer, 0)
                else:
                    self._read_prefix(fragment, at)
            take = self._size - len(self._buffer)
            self._buffer += fragment[at : at + take]
            at += take
            if at <= end:
                frames.append(self._finish())
        return frames

    def _read_prefix(self, data: bytearray | memoryview, at: int) -> None:
        size, header_bytes = _PREFIX.unpack_from(data, at)
        if size > limits.MAX_MESSAGE_BYTES:
            raise BadFrame(
                f"a message of {size} bytes; at most {limits.MAX_MESSAGE_BYTES} are allowed",
                code=Code.TOO_LARGE,
            )
        if not 1 <= header_bytes <= limits.MAX_HEADER_BYTES:
            raise BadFrame(f"a header of {header_bytes} bytes; 1 to {limits.MAX_HEADER_BYTES} are allowed")
        header_end = _PREFIX.size + header_bytes
        if size != header_end and size <= header_end + -header_end % _ALIGN:
            raise BadFrame(f"a message of {size} bytes ends inside its header or padding")
        self._size = size
        self._header_end = header_end

    def _finish(self) -> Frame:
        buffer, header_end = self._buffer, self._header_end
        view = memoryview(buffer)
        body_start = min(header_end + -header_end % _ALIGN, len(buffer))
        if buffer.count(0, header_end, body_start) != body_start - header_end:
            raise BadFrame("the padding before a body is not zero")
        self._buffer = bytearray()
        self._size = 0
        return view[_PREFIX.size : header_end], view[body_start:]
