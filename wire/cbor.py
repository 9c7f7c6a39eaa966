"""CBOR (RFC 8949) as this protocol allows it: plain values, definite lengths, unique text or byte keys, no tags.

`loads` is the only way bytes of a peer become values. It is strict where the library is lenient by default:
trailing bytes, tags (which build regular expressions, mails and cyclic lists), duplicate keys, indefinite lengths
and deep nesting are refused, each as `BadMessage`. What it returns may still be any plain value; the fields of a
message check types and ranges. Spec: `specs/wire.md` §Framing.
"""

from __future__ import annotations

import io
from typing import Any, Final

import cbor2

from wire import limits
from wire.errors import BadMessage, InvalidValue

_BUILT_IN_TAGS: Final = (
    *range(6),
    *(25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
)
"""Tags the library decodes by itself; every other tag reaches the tag hook. A test tries these and many others."""


def loads(data: bytes | bytearray | memoryview, *, max_bytes: int = limits.MAX_HEADER_BYTES) -> Any:
    """Decode the one CBOR item that `data` is.

    Returns: None, bool, int (64 bits), float, bytes, str, list and dict (keys str or bytes); `undefined` and simple
        values come as cbor2's own objects, which no field of a message accepts.
    Raises:
        BadMessage: for anything else, and past `max_bytes`.
    """
    if len(data) > max_bytes:
        raise BadMessage(f"{len(data)} bytes of CBOR; at most {max_bytes} are accepted here")
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(
            stream,
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSE_BUILT_IN,
            max_depth=limits.MAX_CBOR_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
    except (
        cbor2.CBORError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        EOFError,
        RecursionError,
    ) as error:
        # Never the library's words: they may quote what the peer sent.
        raise BadMessage(f"not acceptable CBOR ({type(error).__name__})") from error
    if stream.tell() != len(data):
        raise BadMessage(f"{len(data) - stream.tell()} bytes follow the CBOR item")
    return value


def dumps(value: Any) -> bytes:
    """Encode plain values, in the order given.

    Never pass a memoryview: the library silently writes it as an array of integers. Bodies do not go through here.
    """
    return cbor2.dumps(value)


def canonical(value: Any) -> bytes:
    """Encode for signing and hashing: RFC 8949 §4.2.3 (length-first key order, shortest forms).

    Raises:
        InvalidValue: for a value with no single plain form, such as a memoryview or a set.
    """
    try:
        return cbor2.dumps(value, canonical=True, encoders=_REFUSE_AMBIGUOUS)
    except cbor2.CBORError as error:
        raise InvalidValue(f"cannot be encoded canonically: {error}") from error


def _refuse_tag(*_: object) -> Any:
    raise ValueError("tags are not part of this protocol")


def _refuse_value(_: object, value: object) -> Any:
    raise InvalidValue(f"a {type(value).__name__} has no canonical encoding here")


_REFUSE_BUILT_IN: Final = dict.fromkeys(_BUILT_IN_TAGS, _refuse_tag)
_REFUSE_AMBIGUOUS: Final = dict.fromkeys((memoryview, set, frozenset, complex), _refuse_value)
