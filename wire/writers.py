"""Fields straight to CBOR bytes: what a decode step says in its header is the same few kinds of values every time.

Building a map for the library and having it encoded costs several times as much, on every hop of every token. Kinds
that no step uses go through the library; for each kind a test compares both ways. Spec: `specs/wire.md` §Fields.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from wire.cbor import dumps
from wire.fields import Bool, Field, Maybe, Nested, OfSessionId, OneOf, Several, UInt
from wire.limits import SESSION_ID_BYTES

Writer = Callable[[Any], bytes]
"""Takes a field's Python value, never None, and returns its CBOR item."""

_UINT: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_ARRAY: Final = 4
_MAP: Final = 5

_BOOL: Final = {False: b"\xf4", True: b"\xf5"}
_ONE: Final = struct.Struct(">BB").pack
_TWO: Final = struct.Struct(">BH").pack
_FOUR: Final = struct.Struct(">BI").pack
_EIGHT: Final = struct.Struct(">BQ").pack


def head(major: int, number: int) -> bytes:
    """The initial bytes of an item (RFC 8949 §3): its major type, and a number below 2^64 in the shortest form."""
    major <<= 5
    if number < 24:
        return _SHORT[major | number]
    if number < 0x100:
        return _ONE(major | 24, number)
    if number < 0x1_0000:
        return _TWO(major | 25, number)
    if number < 0x1_0000_0000:
        return _FOUR(major | 26, number)
    return _EIGHT(major | 27, number)


_SHORT: Final = tuple(bytes((value,)) for value in range(256))


def map_head(entries: int) -> bytes:
    """What a map of so many entries begins with."""
    return head(_MAP, entries)


def key(name: str) -> bytes:
    """A map's key."""
    raw = name.encode()
    return head(_TEXT, len(raw)) + raw


def uint(value: int) -> bytes:
    """An unsigned integer."""
    if value < 24:
        return _SHORT[value]
    return head(_UINT, value)


def writer(field: Field) -> Writer:
    """The function that writes this kind of field."""
    match field:
        case UInt():
            return uint
        case Bool():
            return _BOOL.__getitem__
        case OneOf(members=members):
            return {member: dumps(value) for value, member in members.items()}.__getitem__
        case OfSessionId():
            prefix = head(_BYTES, SESSION_ID_BYTES)
            return lambda value: prefix + value.raw
        case Maybe(of=of):
            return writer(of)
        case Several(of=of):
            return _several(writer(of))
        case Nested(parts=parts) if not any(isinstance(part, Maybe) for part in parts.values()):
            return _nested([(key(name), attrgetter(name), writer(part)) for name, part in parts.items()])
    return lambda value: dumps(field.encode(value))


def _several(write: Writer) -> Writer:
    def several(values: tuple[object, ...]) -> bytes:
        return head(_ARRAY, len(values)) + b"".join([write(one) for one in values])

    return several


def _nested(parts: list[tuple[bytes, Callable[[Any], Any], Writer]]) -> Writer:
    start = map_head(len(parts))

    def nested(value: object) -> bytes:
        pieces = [start]
        for name, get, write in parts:
            pieces.append(name)
            pieces.append(write(get(value)))
        return b"".join(pieces)

    return nested
