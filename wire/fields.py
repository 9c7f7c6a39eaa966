"""How one field of a message looks in CBOR: a small codec per kind of value, each with its bounds.

A message class annotates its fields with these (`step: Annotated[int, UInt(limits.MAX_STEP)]`); the codec, the
specification's tables and the checks of hostile input all read the same annotation. Decoding raises `BadMessage`
and never builds a value that is out of bounds; encoding trusts the typed value. Spec: `specs/wire.md` §Fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from crypto.errors import CryptoError
from crypto.identity import PeerId
from wire import limits
from wire.errors import BadMessage, InvalidValue
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

E = TypeVar("E", bound=Enum)


class Field(Protocol):
    """One kind of field: its codec and the words the specification uses for it."""

    @property
    def kind(self) -> str:
        """Type and bounds, as printed in the specification's tables."""
        ...

    def encode(self, value: object) -> object:
        """Return the CBOR value for a Python value."""
        ...

    def decode(self, raw: object) -> object:
        """Return the Python value. Raises `BadMessage`."""
        ...


class Plain:
    """A field whose Python value is its CBOR value."""

    __slots__ = ()

    def encode(self, value: object) -> object:
        return value


@dataclass(frozen=True, slots=True)
class UInt(Plain):
    """An integer in `[0, most]`."""

    most: int

    @property
    def kind(self) -> str:
        return f"uint <= {self.most}"

    def decode(self, raw: object) -> int:
        if type(raw) is not int or not 0 <= raw <= self.most:
            raise BadMessage(f"expected an unsigned integer up to {self.most}")
        return raw


@dataclass(frozen=True, slots=True)
class Bool(Plain):
    """True or false."""

    @property
    def kind(self) -> str:
        return "bool"

    def decode(self, raw: object) -> bool:
        if type(raw) is not bool:
            raise BadMessage("expected true or false")
        return raw


@dataclass(frozen=True, slots=True)
class Float(Plain):
    """A finite number in `[low, high]`."""

    low: float
    high: float

    @property
    def kind(self) -> str:
        return f"float {self.low:g}..{self.high:g}"

    def decode(self, raw: object) -> float:
        if type(raw) not in (int, float):
            raise BadMessage("expected a number")
        value = float(raw)  # type: ignore[arg-type]  # narrowed by the exact type check above
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise BadMessage(f"expected a number from {self.low:g} to {self.high:g}")
        return value


@dataclass(frozen=True, slots=True)
class Bytes(Plain):
    """Exactly `size` bytes."""

    size: int

    @property
    def kind(self) -> str:
        return f"bytes[{self.size}]"

    def decode(self, raw: object) -> bytes:
        if type(raw) is not bytes or len(raw) != self.size:
            raise BadMessage(f"expected {self.size} bytes")
        return raw


@dataclass(frozen=True, slots=True)
class Text(Plain):
    """Printable text of at most `most` characters; control characters are refused so that logs stay honest."""

    most: int

    @property
    def kind(self) -> str:
        return f"text <= {self.most} chars"

    def decode(self, raw: object) -> str:
        if type(raw) is not str or len(raw) > self.most or not raw.isprintable():
            raise BadMessage(f"expected printable text of at most {self.most} characters")
        return raw

    def fit(self, text: str) -> str:
        """Return what a peer accepts of `text`: spaces for what cannot be printed, and no more than the bound."""
        return "".join(one if one.isprintable() else " " for one in text[: self.most])


class _Wrapped:
    """A validating class that travels as one CBOR value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OfPeerId(_Wrapped):
    """A peer id as its 32 raw bytes."""

    @property
    def kind(self) -> str:
        return "peer id, bytes[32]"

    def encode(self, value: object) -> object:
        return value.raw if isinstance(value, PeerId) else value

    def decode(self, raw: object) -> PeerId:
        if type(raw) is not bytes:
            raise BadMessage("expected a peer id")
        try:
            return PeerId(raw)
        except CryptoError as error:
            raise BadMessage("expected a peer id") from error


@dataclass(frozen=True, slots=True)
class OfModelId(_Wrapped):
    """A model id as the 32 bytes of its manifest's digest."""

    @property
    def kind(self) -> str:
        return "model id, bytes[32]"

    def encode(self, value: object) -> object:
        return value.digest if isinstance(value, ModelId) else value

    def decode(self, raw: object) -> ModelId:
        if type(raw) is not bytes or len(raw) != limits.DIGEST_BYTES:
            raise BadMessage("expected a model id")
        return ModelId(raw)


@dataclass(frozen=True, slots=True)
class OfSessionId(_Wrapped):
    """A session id as its 16 raw bytes."""

    @property
    def kind(self) -> str:
        return "session id, bytes[16]"

    def encode(self, value: object) -> object:
        return value.raw if isinstance(value, SessionId) else value

    def decode(self, raw: object) -> SessionId:
        if type(raw) is not bytes or len(raw) != limits.SESSION_ID_BYTES:
            raise BadMessage("expected a session id")
        return SessionId(raw)


@dataclass(frozen=True, slots=True)
class OfLayers(_Wrapped):
    """A layer range as `[start, end]`."""

    @property
    def kind(self) -> str:
        return f"layer range, [start, end] <= {limits.MAX_LAYERS}"

    def encode(self, value: object) -> object:
        return [value.start, value.end] if isinstance(value, LayerRange) else value

    def decode(self, raw: object) -> LayerRange:
        if type(raw) is not list or len(raw) != 2 or type(raw[0]) is not int or type(raw[1]) is not int:
            raise BadMessage("expected a layer range [start, end]")
        try:
            return LayerRange(raw[0], raw[1])
        except InvalidValue as error:
            raise BadMessage(str(error)) from error


@dataclass(frozen=True, slots=True)
class OfAddress(_Wrapped):
    """An IP address and port as the text `IP:PORT`."""

    @property
    def kind(self) -> str:
        return "address, text IP:PORT"

    def encode(self, value: object) -> object:
        return str(value)

    def decode(self, raw: object) -> Address:
        if type(raw) is not str or len(raw) > limits.MAX_NAME_CHARS or "%" in raw:
            raise BadMessage("expected an address without a scope, which means nothing on another machine")
        try:
            return Address.parse(raw)
        except InvalidValue as error:
            raise BadMessage("expected an address as IP:PORT") from error


@dataclass(frozen=True, slots=True)
class OneOf(Generic[E]):
    """A member of an enumeration, by its value."""

    enum: type[E]
    members: dict[object, E] = field(init=False, repr=False, compare=False)
    """By value; looking one up here is several times faster than calling the enumeration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", {member.value: member for member in self.enum})

    @property
    def kind(self) -> str:
        return " | ".join(str(member.value) for member in self.enum)

    def encode(self, value: object) -> object:
        return value.value if isinstance(value, Enum) else value

    def decode(self, raw: object) -> E:
        member = self.members.get(raw) if type(raw) in (int, str) else None
        if member is None:
            raise BadMessage(f"expected one of {self.kind}")
        return member


@dataclass(frozen=True, slots=True)
class Several:
    """An array of at most `most` elements; a tuple in Python."""

    of: Field
    most: int
    least: int = 0

    @property
    def kind(self) -> str:
        count = f"{self.least}..{self.most}" if self.least else f"<= {self.most}"
        return f"array of ({self.of.kind}), {count} elements"

    def encode(self, value: object) -> object:
        return [self.of.encode(one) for one in value] if isinstance(value, tuple) else value

    def decode(self, raw: object) -> tuple[object, ...]:
        if type(raw) is not list or not self.least <= len(raw) <= self.most:
            raise BadMessage(f"expected an array of {self.least} to {self.most} elements")
        decode = self.of.decode
        return tuple([decode(one) for one in raw])


@dataclass(frozen=True, slots=True)
class Maybe:
    """A field that may be absent; None in Python, left out of the CBOR map."""

    of: Field

    @property
    def kind(self) -> str:
        return f"{self.of.kind}, optional"

    def encode(self, value: object) -> object:
        return None if value is None else self.of.encode(value)

    def decode(self, raw: object) -> object:
        return None if raw is None else self.of.decode(raw)


@dataclass(frozen=True, slots=True)
class Nested:
    """A frozen dataclass as a map of its own; unknown keys are ignored as they are in messages."""

    cls: type
    parts: Mapping[str, Field]
    _readers: tuple[tuple[str, Callable[[object], object], Callable[[Any, object], None]], ...] = field(
        init=False, repr=False, compare=False
    )
    """For a class that checks nothing itself: how to read each part, and how to set it on a new object."""

    def __post_init__(self) -> None:
        plain = not hasattr(self.cls, "__post_init__") and "__slots__" in vars(self.cls)
        readers = [
            (name, part.decode, vars(self.cls)[name].__set__) for name, part in self.parts.items() if plain
        ]
        object.__setattr__(self, "_readers", tuple(readers))

    @property
    def kind(self) -> str:
        inner = ", ".join(f"{name}: {part.kind}" for name, part in self.parts.items())
        return f"map {{{inner}}}"

    def encode(self, value: object) -> object:
        encoded = ((name, part.encode(getattr(value, name))) for name, part in self.parts.items())
        return {name: one for name, one in encoded if one is not None}

    def decode(self, raw: object) -> object:
        if type(raw) is not dict:
            raise BadMessage(f"expected a map describing {self.cls.__name__}")
        if self._readers:
            value: object = object.__new__(self.cls)
            for name, read, assign in self._readers:
                assign(value, read(raw.get(name)))
            return value
        try:
            return self.cls(**{name: part.decode(raw.get(name)) for name, part in self.parts.items()})
        except InvalidValue as error:
            raise BadMessage(str(error)) from error


PEER_ID = OfPeerId()
MODEL_ID = OfModelId()
SESSION_ID = OfSessionId()
LAYERS = OfLayers()
ADDRESS = OfAddress()
DTYPE = OneOf(DType)
WEIGHTS = OneOf(WeightFormat)
SHAPE = Several(UInt(limits.MAX_POSITIONS), limits.MAX_TENSOR_RANK)
SAMPLING = Nested(
    Sampling,
    {
        "temperature": Float(0.0, 100.0),
        "top_k": UInt(limits.MAX_VOCABULARY),
        "top_p": Float(0.0, 1.0),
        "min_p": Float(0.0, 1.0),
        "seed": UInt((1 << 64) - 1),
    },
)


def nested_names(cls: type) -> tuple[str, ...]:
    """The field names of a dataclass, for checking that a `Nested` covers all of it."""
    return tuple(one.name for one in fields(cls))
