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
from operator import attrgetter
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from wire.fields import Field, Maybe
from wire.writers import Writer, key, writer

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
    writers: tuple[tuple[bytes, Callable[[Any], Any], Writer], ...]
    """For each field: its key in CBOR, how to get its value, how to write it."""
    readers: tuple[tuple[str, Callable[[object], object], Callable[[Any, Any], None], bool], ...]
    """For each field: its name, how to check it, how to set it on a new message, whether it may be absent."""
    has_body: bool
    """Whether raw tensor bytes follow the header."""

    @property
    def optional(self) -> frozenset[str]:
        """The fields that may be absent."""
        return frozenset(name for name, field in self.fields.items() if isinstance(field, Maybe))


_by_id: dict[int, Declaration] = {}
REGISTRY: Mapping[int, Declaration] = MappingProxyType(_by_id)
"""All messages by id. Complete once `wire.messages` is imported."""


def register(id: int, name: str, *, sender: str) -> Callable[[type[M]], type[M]]:  # noqa: A002 - the specification's word
    """Enter a message class under its id. Raises `TypeError` for an id used twice or a class declared otherwise."""

    def enter(cls: type[M]) -> type[M]:
        if id in _by_id:
            raise TypeError(f"message id {id} is used by {_by_id[id].cls.__name__} and {cls.__name__}")
        if "__slots__" not in vars(cls):
            raise TypeError(f"{cls.__name__} is declared without slots=True")
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
            writers=tuple((key(name), attrgetter(name), writer(kind)) for name, kind in header.items()),
            readers=tuple(
                (name, kind.decode, vars(cls)[name].__set__, isinstance(kind, Maybe))
                for name, kind in header.items()
            ),
            has_body="body" in hints,
        )
        _by_id[id] = cls.declaration
        return cls

    return enter
