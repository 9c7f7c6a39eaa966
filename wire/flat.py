"""CBOR arrays of plain values, as the requests of DHT nodes are: nothing nested, nothing to build.

Requests come from anybody at any rate, and a datagram has room for a thousand empty arrays. This reader takes what a
request may hold, unsigned integers, byte strings and truth values, and stops at anything else (RFC 8949 §3).
"""

from __future__ import annotations

from typing import Final

from wire.errors import BadMessage

_FALSE: Final = 0xF4
_TRUE: Final = 0xF5
_ARRAY: Final = 4
_UINT: Final = 0
_BYTES: Final = 2
_INLINE: Final = 24
"""The least value of a head's low bits that says that a length follows."""
_WIDEST: Final = 27

Flat = int | bytes | bool


def read_flat(data: bytes, start: int, *, most: int) -> list[Flat]:
    """Return the values of the one array that `data` holds from `start` to its end.

    Raises `BadMessage` for more than `most` values, for other kinds of values, and for lengths that lie.
    """
    kind, count, at = _head(data, start)
    if kind != _ARRAY or count > most:
        raise BadMessage(f"expected an array of at most {most} values")
    values: list[Flat] = []
    for _ in range(count):
        first = data[at] if at < len(data) else _ARRAY << 5
        if first in (_FALSE, _TRUE):
            values.append(first == _TRUE)
            at += 1
            continue
        kind, number, at = _head(data, at)
        if kind == _BYTES and number <= len(data) - at:
            values.append(data[at : at + number])
            at += number
        elif kind == _UINT:
            values.append(number)
        else:
            raise BadMessage("expected numbers, bytes and truth values")
    if at != len(data):
        raise BadMessage(f"{len(data) - at} bytes follow the array")
    return values


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """The kind of an item, its number or length, and where it goes on."""
    if at >= len(data):
        raise BadMessage("the data end within a value")
    kind, low = data[at] >> 5, data[at] & 0x1F
    if low < _INLINE:
        return kind, low, at + 1
    width = 1 << (low - _INLINE)
    if low > _WIDEST or at + 1 + width > len(data):
        raise BadMessage("a value without a length, or cut short")
    return kind, int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width
