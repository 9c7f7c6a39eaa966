"""Records that travel over the control socket are frozen dataclasses; this turns them into JSON objects and back.

What a field may hold follows from its annotation, or is said by an `Argument` in it. A reader of answers passes over
fields it does not know, so that a newer host can say more; arguments are read strictly, in `node.control.commands`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from typing import Any, Final

from node.control.errors import Unfit
from node.control.kinds import AnyText, Flag, Kind, Layers, Maybe, Number, Numbers, OneOf, Several, Whole
from wire.types import LayerRange

_PLAIN: Final[Mapping[Any, Kind]] = {
    str: AnyText(),
    bool: Flag(),
    int: Whole(),
    float: Number(),
    LayerRange: Layers(),
}
_SEEN: Final[dict[type[Any], Mapping[str, Part]]] = {}
"""Records that were looked at, of which there are as many as classes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a record."""

    name: str
    kind: Kind
    meaning: str
    """What it is for, where an `Argument` said so."""
    default: object = MISSING

    @property
    def required(self) -> bool:
        """Whether the field cannot be left out."""
        return self.default is MISSING


@dataclass(frozen=True, slots=True)
class Argument:
    """Stands in the annotation of a field: what it may hold, and what it is for."""

    kind: Kind
    meaning: str


def parts(record: type[Any]) -> Mapping[str, Part]:
    """The fields of a dataclass by name, in order. Raises `TypeError` for an annotation that cannot travel."""
    if record not in _SEEN:
        hints = typing.get_type_hints(record, include_extras=True)
        found = {
            one.name: _part(one.name, hints[one.name], one.default) for one in dataclasses.fields(record)
        }
        _SEEN[record] = types.MappingProxyType(found)
    return _SEEN[record]


def plain(record: Any) -> dict[str, Any]:
    """A record as the object JSON takes."""
    return {name: part.kind.plain(getattr(record, name)) for name, part in parts(type(record)).items()}


def read(record: type[Any], raw: object) -> Any:
    """The record in an object that JSON gave; fields that are not known are passed over.

    Raises:
        Unfit: a field is missing or does not fit; the cause names it.
    """
    if not isinstance(raw, dict):
        raise Unfit(f"{record.__name__} is not an object", "update the older of the two programs")
    values = {}
    for name, part in parts(record).items():
        if name in raw:
            try:
                values[name] = part.kind.read(raw[name])
            except Unfit as error:
                raise Unfit(f"{name}: {error.cause}", error.next_step) from error
        elif part.required:
            raise Unfit(f"{record.__name__} has no {name}", "update the older of the two programs")
    return record(**values)


@dataclass(frozen=True, slots=True)
class Record:
    """A record within another."""

    of: type[Any]

    @property
    def words(self) -> str:
        """What fits, as it stands in tables and errors."""
        return f"an object `{self.of.__name__}`"

    def read(self, raw: object) -> Any:
        """The record. Raises `Unfit`."""
        return read(self.of, raw)

    def plain(self, value: Any) -> Any:
        """The record as JSON takes it."""
        return plain(value)

    def typed(self, text: str) -> object:
        """Nobody types a record."""
        return text


def _part(name: str, annotation: Any, default: object) -> Part:
    said = [one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, Argument)]
    if not said:
        return Part(name, _kind_of(annotation), "", default)
    kind = Maybe(said[0].kind) if default is None else said[0].kind
    return Part(name, kind, said[0].meaning, default)


def _kind_of(annotation: Any) -> Kind:
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return OneOf(annotation)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return Record(annotation)
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple and inner[1:] == (...,):
        return Several(_kind_of(inner[0]))
    if isinstance(annotation, types.UnionType) and len(inner) == 2 and inner[1] is type(None):
        return Maybe(_kind_of(inner[0]))
    if annotation == Mapping[str, float]:
        return Numbers()
    raise TypeError(f"{annotation} cannot travel over the control socket")
