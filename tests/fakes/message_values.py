"""CBOR values for every kind of field: any legal one, the smallest, the largest, and those just past the bounds.

Everything is derived from the fields' own declarations, so a new message is tested as soon as it is registered.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from wire import limits
from wire.fields import (
    Bool,
    Bytes,
    Field,
    Float,
    Maybe,
    Nested,
    OfAddress,
    OfLayers,
    OfModelId,
    OfPeerId,
    OfSessionId,
    OneOf,
    Several,
    Text,
    UInt,
)
from wire.messages.base import REGISTRY, Declaration, Message

DECLARATIONS: tuple[Declaration, ...] = tuple(REGISTRY[one] for one in sorted(REGISTRY))
"""All messages, by id."""

PRINTABLE = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")) | st.just(" ")


def legal(field: Field) -> st.SearchStrategy[Any]:
    """Any CBOR value the field accepts."""
    match field:
        case UInt(most=most):
            return st.integers(0, most) | st.integers(max(0, most - 1), most)
        case Bool():
            return st.booleans()
        case Float(low=low, high=high):
            return st.floats(low, high) | st.sampled_from([low, high])
        case Bytes(size=size):
            return st.binary(min_size=size, max_size=size)
        case Text(most=most):
            return st.text(PRINTABLE, max_size=most)
        case OfPeerId() | OfModelId():
            return st.binary(min_size=32, max_size=32)
        case OfSessionId():
            return st.binary(min_size=16, max_size=16)
        case OfLayers():
            return st.lists(st.integers(0, limits.MAX_LAYERS), min_size=2, max_size=2).map(sorted)
        case OfAddress():
            fours = st.builds("{}:{}".format, st.ip_addresses(v=4), st.integers(0, 65_535))
            return fours | st.builds("[{}]:{}".format, st.ip_addresses(v=6), st.integers(0, 65_535))
        case OneOf(enum=enum):
            return st.sampled_from([member.value for member in enum])
        case Several(of=of, most=most, least=least):
            return st.lists(legal(of), min_size=least, max_size=min(most, least + 4))
        case Maybe(of=of):
            return st.none() | legal(of)
        case Nested(parts=parts):
            return st.fixed_dictionaries({name: legal(part) for name, part in parts.items()})
    raise TypeError(f"no values are known for {field}")


def any_message(declaration: Declaration) -> st.SearchStrategy[Message]:
    """Any legal message of one class."""
    values: dict[str, st.SearchStrategy[Any]] = {
        name: legal(field).map(field.decode) for name, field in declaration.fields.items()
    }
    if declaration.has_body:
        values["body"] = st.binary(max_size=40)
    return st.builds(declaration.cls, **values)


def smallest(field: Field) -> Any:
    """A legal CBOR value with a short encoding."""
    match field:
        case UInt():
            return 0
        case Bool():
            return False
        case Float(low=low):
            return low
        case Bytes(size=size):
            return bytes(size)
        case Text():
            return ""
        case OfPeerId() | OfModelId():
            return bytes(32)
        case OfSessionId():
            return bytes(16)
        case OfLayers():
            return [0, 0]
        case OfAddress():
            return "0.0.0.0:0"
        case OneOf(enum=enum):
            return next(member.value for member in enum)
        case Several(of=of, least=least):
            return [smallest(of)] * least
        case Maybe():
            return None
        case Nested(parts=parts):
            return {name: smallest(part) for name, part in parts.items() if not isinstance(part, Maybe)}
    raise TypeError(f"no values are known for {field}")


def largest(field: Field) -> Any:
    """The legal CBOR value with the longest encoding."""
    match field:
        case UInt(most=most):
            return most
        case Bool():
            return True
        case Float(low=low, high=high):
            return (low + high) / 2
        case Bytes(size=size):
            return b"\xff" * size
        case Text(most=most):
            return "\N{GRINNING FACE}" * most
        case OfPeerId() | OfModelId():
            return b"\xff" * 32
        case OfSessionId():
            return b"\xff" * 16
        case OfLayers():
            return [limits.MAX_LAYERS, limits.MAX_LAYERS]
        case OfAddress():
            return "[" + ":".join(["ffff"] * 8) + "]:65535"
        case OneOf(enum=enum):
            return max((member.value for member in enum), key=lambda value: len(str(value)))
        case Several(of=of, most=most):
            return [largest(of)] * most
        case Maybe(of=of):
            return largest(of)
        case Nested(parts=parts):
            return {name: largest(part) for name, part in parts.items()}
    raise TypeError(f"no values are known for {field}")


def refused(field: Field) -> list[Any]:
    """CBOR values the field must not accept: of another type, and just out of bounds."""
    match field:
        case UInt(most=most):
            # Past 64 bits an integer needs a tag, which is refused before any field is looked at.
            past = [most + 1] if most + 1 < 1 << 64 else []
            return [-1, *past, True, 0.0, "0", b"\0", [], {}, [0]]
        case Bool():
            return [0, 1, "true", b"\1", [], {}, 0.0]
        case Float(low=low, high=high):
            below, above = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
            return [below, above, math.nan, math.inf, -math.inf, True, "0", b"\0", [], {}]
        case Bytes(size=size):
            return [bytes(size - 1), bytes(size + 1), b"", "x" * size, [0] * size, 0, {}]
        case Text(most=most):
            return ["x" * (most + 1), "a\nb", "\x00", "\x1b[31m", "\u202e", "\u2028", b"x", 0, [], {}, 1.5]
        case OfPeerId() | OfModelId():
            return [bytes(31), bytes(33), b"", "x" * 32, 0, [], {}]
        case OfSessionId():
            return [bytes(15), bytes(17), b"", "x" * 16, 0, [], {}]
        case OfLayers():
            most = limits.MAX_LAYERS
            shapes: list[Any] = [[], [1], [0, 1, 2], "0:1", {}, 0, [b"", b""]]
            return [*shapes, [2, 1], [-1, 0], [0, most + 1], [most + 1, most + 1], [0.0, 1], [False, True]]
        case OfAddress():
            names = ["", "localhost:1", "1.2.3.4", "::1:5", "1.2.3.4:", "[::1]", "1.2.3:4", "a.b:1", "[]:1"]
            ports = ["1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4:\u0661", "1.2.3.4: 1"]
            scopes = ["[fe80::1%eth0]:5", "[fe80::1%a\nb]:5"]
            return [*names, *ports, *scopes, "1.2.3.4:" + "0" * 200 + "1", b"1.2.3.4:1", 0, [], {}]
        case OneOf():
            return ["nonsense", "", b"next", 1 << 20, True, 1.5, [], {}]
        case Several(of=of, most=most, least=least):
            sizes = [[smallest(of)] * (most + 1), *([[smallest(of)] * (least - 1)] if least else [])]
            inside = [[bad] * max(least, 1) for bad in refused(of)]
            return [*sizes, *inside, [None] * max(least, 1), {}, 0, "x", b"x", 1.5]
        case Maybe(of=of):
            return refused(of)
        case Nested(parts=parts):
            whole = smallest(field)
            kept = {name: part for name, part in parts.items() if not isinstance(part, Maybe)}
            missing = [{key: one for key, one in whole.items() if key != name} for name in kept]
            wrong = [{**whole, name: bad} for name, part in parts.items() for bad in refused(part)]
            return [*missing, *wrong, [], 0, "x", b"x", [whole]]
    raise TypeError(f"no values are known for {field}")


def header(declaration: Declaration, **changed: Any) -> dict[str, Any]:
    """The smallest legal header of a message as a CBOR map, with some fields changed."""
    values = {name: smallest(field) for name, field in declaration.fields.items()}
    return {"t": declaration.id, **{k: v for k, v in (values | changed).items() if v is not None}}
