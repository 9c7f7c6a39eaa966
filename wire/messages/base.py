"""The class every message derives from, and the registry that maps ids to classes.

A message is declared once:

    @register(32, "open", sender="client")
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Open(Message): ...

and the codec, the specification's tables and the fuzzers take everything from that declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from wire.fields import Field, Maybe

Body = bytes | bytearray | memoryview
M = TypeVar("M", bound="Message")


class Message:
    """What two peers say to each other; subclasses are frozen dataclasses with annotated fields."""

    __slots__ = ()
    declaration: ClassVar[Declaration]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the registry knows of one message class."""

    id: int
    name: str
    sender: str
    """Who may send it, in the specification's words."""
    cls: type[Message]
    fields: Mapping[str, Field]
    """The header's fields in order; `body` is not among them."""
    optional: frozenset[str]
    has_body: bool
    """Whether raw tensor bytes follow the header."""


_by_id: dict[int, Declaration] = {}
REGISTRY: Mapping[int, Declaration] = MappingProxyType(_by_id)
"""All messages by id. Complete once `wire.messages` is imported."""


def register(id: int, name: str, *, sender: str) -> Callable[[type[M]], type[M]]:  # noqa: A002 - the specification's word
    """Enter a message class under its id. Raises `TypeError` for an id used twice or a field without annotation."""

    def enter(cls: type[M]) -> type[M]:
        if id in _by_id:
            raise TypeError(f"message id {id} is used by {_by_id[id].cls.__name__} and {cls.__name__}")
        hints = get_type_hints(cls, include_extras=True)
        header: dict[str, Field] = {}
        for one in fields(cls):  # type: ignore[arg-type]  # every message is a dataclass
            if one.name == "body":
                continue
            if get_origin(hints[one.name]) is not Annotated:
                raise TypeError(f"{cls.__name__}.{one.name} has no wire field in its annotation")
            header[one.name] = get_args(hints[one.name])[1]
        cls.declaration = Declaration(
            id=id,
            name=name,
            sender=sender,
            cls=cls,
            fields=MappingProxyType(header),
            optional=frozenset(key for key, kind in header.items() if isinstance(kind, Maybe)),
            has_body="body" in hints,
        )
        _by_id[id] = cls.declaration
        return cls

    return enter
