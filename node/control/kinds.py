"""Kinds of values that travel over the control socket: what fits, how it is written, and how a person types it.

Each kind has the same four: `words` for tables and errors, `read` from what JSON gave, `plain` to what JSON takes, and
`typed` from a word of a command line to what JSON would have given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from node.control.errors import Unfit
from node.control.limits import MAX_WHOLE
from wire.errors import InvalidValue
from wire.types import LayerRange

_SHOWN_CHARS: Final = 40


class Kind(Protocol):
    """One kind of value."""

    @property
    def words(self) -> str:
        """What fits, as it stands in tables and errors."""
        ...

    def read(self, raw: object) -> Any:
        """The value that JSON gave. Raises `Unfit`."""
        ...

    def plain(self, value: Any) -> Any:
        """The value as JSON takes it."""
        ...

    def typed(self, text: str) -> object:
        """What a person typed, as JSON would have given it; text that does not fit comes back as it is."""
        ...


class _Itself:
    """What is written as it is."""

    def plain(self, value: Any) -> Any:
        return value

    def typed(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Text(_Itself):
    """Text of one line, without control characters."""

    most: int
    least: int = 1

    @property
    def words(self) -> str:
        return f"text of {self.least} to {self.most} printable characters"

    def read(self, raw: object) -> str:
        if isinstance(raw, str) and self.least <= len(raw) <= self.most and raw.isprintable():
            return raw
        raise _unfit(raw, self)


@dataclass(frozen=True, slots=True)
class AnyText(_Itself):
    """Text of an answer, of which only the line has a bound. May hold anything: clean it before it is shown."""

    @property
    def words(self) -> str:
        return "text"

    def read(self, raw: object) -> str:
        if isinstance(raw, str):
            return raw
        raise _unfit(raw, self)


@dataclass(frozen=True, slots=True)
class Whole(_Itself):
    """A whole number within bounds."""

    low: int = 0
    high: int = MAX_WHOLE

    @property
    def words(self) -> str:
        if self.high == MAX_WHOLE:
            return f"a whole number from {self.low}"
        return f"a whole number from {self.low} to {self.high}"

    def read(self, raw: object) -> int:
        if type(raw) is int and self.low <= raw <= self.high:
            return raw
        raise _unfit(raw, self)

    def typed(self, text: str) -> object:
        # By length first: Python refuses to read numbers of thousands of digits.
        return int(text) if len(text) < 18 and text.isascii() and text.isdigit() else text


@dataclass(frozen=True, slots=True)
class Number(_Itself):
    """A finite number within bounds."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def words(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "a number"
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, raw: object) -> float:
        if type(raw) is int and abs(raw) <= MAX_WHOLE:
            raw = float(raw)
        if type(raw) is float and math.isfinite(raw) and self.low <= raw <= self.high:
            return raw
        raise _unfit(raw, self)

    def typed(self, text: str) -> object:
        try:
            return float(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Flag(_Itself):
    """True or false."""

    @property
    def words(self) -> str:
        return "true or false"

    def read(self, raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        raise _unfit(raw, self)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    choices: type[Enum]

    @property
    def words(self) -> str:
        return "one of " + ", ".join(str(one.value) for one in self.choices)

    def read(self, raw: object) -> Enum:
        if isinstance(raw, str):
            for one in self.choices:
                if one.value == raw:
                    return one
        raise _unfit(raw, self)

    def plain(self, value: Any) -> Any:
        return value.value

    def typed(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Layers:
    """A range of layers that is not empty."""

    @property
    def words(self) -> str:
        return "layers START:END, as in 6:12"

    def read(self, raw: object) -> LayerRange:
        if isinstance(raw, str) and len(raw) <= _SHOWN_CHARS:
            try:
                layers = LayerRange.parse(raw)
            except InvalidValue as error:
                raise _unfit(raw, self) from error
            if len(layers) > 0:
                return layers
        raise _unfit(raw, self)

    def plain(self, value: Any) -> Any:
        return str(value)

    def typed(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Maybe:
    """A value, or null."""

    of: Kind

    @property
    def words(self) -> str:
        return f"{self.of.words}; or null"

    def read(self, raw: object) -> Any:
        return None if raw is None else self.of.read(raw)

    def plain(self, value: Any) -> Any:
        return None if value is None else self.of.plain(value)

    def typed(self, text: str) -> object:
        return self.of.typed(text)


@dataclass(frozen=True, slots=True)
class Several(_Itself):
    """An array of values of one kind; the line bounds how many."""

    of: Kind

    @property
    def words(self) -> str:
        return f"an array of: {self.of.words}"

    def read(self, raw: object) -> tuple[Any, ...]:
        if isinstance(raw, list):
            return tuple(self.of.read(one) for one in raw)
        raise _unfit(raw, self)

    def plain(self, value: Any) -> Any:
        return [self.of.plain(one) for one in value]


@dataclass(frozen=True, slots=True)
class Numbers(_Itself):
    """An object that gives a number to each of its names."""

    @property
    def words(self) -> str:
        return "an object of numbers"

    def read(self, raw: object) -> Mapping[str, float]:
        if isinstance(raw, dict):
            return {name: Number().read(value) for name, value in raw.items()}
        raise _unfit(raw, self)

    def plain(self, value: Any) -> Any:
        return dict(value)


def _unfit(raw: object, kind: Kind) -> Unfit:
    return Unfit(f"{shown(raw)} is not {kind.words}", f"give {kind.words}")


def shown(raw: object) -> str:
    """A value of a stranger as it may stand in an error: short, in ASCII, without control characters."""
    if isinstance(raw, str):
        return ascii(raw if len(raw) <= _SHOWN_CHARS else raw[:_SHOWN_CHARS] + "...")
    if raw is None or isinstance(raw, bool):
        return {None: "null", True: "true", False: "false"}[raw]
    if isinstance(raw, int):
        return str(raw) if abs(raw) <= MAX_WHOLE else "a number out of range"
    if isinstance(raw, float):
        return f"{raw:g}"
    return "an array" if isinstance(raw, list) else "an object"
