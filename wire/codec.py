"""Messages to and from their CBOR header and raw body. Spec: `specs/wire.md` §Messages.

A header is a map with the message's id under `t` and its fields under their names. Unknown names are ignored, so a
newer peer may say more; a missing or malformed field is `BadMessage`; an unknown id is `UnknownMessage`, which the
connection answers politely.
"""

from __future__ import annotations

from wire import messages
from wire.cbor import loads
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import REGISTRY, Body, Message
from wire.writers import key, map_head, uint

__all__ = ["UnknownMessage", "decode", "encode", "messages"]

_ID = "t"
_ID_KEY = key(_ID)


class UnknownMessage(BadMessage):
    """A well-formed header with a message id this version does not know."""

    def __init__(self, message_id: int) -> None:
        super().__init__(f"message {message_id} is unknown here", code=Code.UNKNOWN_MESSAGE)
        self.message_id = message_id


def encode(message: Message) -> tuple[bytes, Body]:
    """Return the CBOR header and the raw body (empty when the message has none; not copied)."""
    declaration = message.declaration
    pieces = [b"", _ID_KEY, uint(declaration.id)]
    for name, get, write in declaration.writers:
        value = get(message)
        if value is not None:
            pieces.append(name)
            pieces.append(write(value))
    pieces[0] = map_head(len(pieces) // 2)
    # `has_body` says that the class declares it.
    return b"".join(pieces), (message.body if declaration.has_body else b"")  # type: ignore[attr-defined]


def decode(header: bytes | memoryview, body: Body) -> Message:
    """Return the message. `body` is handed over, not copied.

    Raises:
        UnknownMessage: the id is not in the registry.
        BadMessage: anything else is wrong with it.
    """
    raw = loads(header)
    if type(raw) is not dict:
        raise BadMessage("a message header is a map")
    message_id = raw.get(_ID)
    if type(message_id) is not int or not 0 <= message_id <= 65_535:
        raise BadMessage("a message header names its message id")
    declaration = REGISTRY.get(message_id)
    if declaration is None:
        raise UnknownMessage(message_id)
    cls = declaration.cls
    # Field by field, since a frozen class's own constructor takes as long as all the checks.
    message = cls.__new__(cls)
    for name, check, assign, optional in declaration.readers:
        value = raw.get(name)
        if value is not None:
            try:
                value = check(value)
            except BadMessage as error:
                raise BadMessage(f"{declaration.name}.{name}: {error.detail}") from error
        elif not optional:
            raise BadMessage(f"{declaration.name} lacks its field {name}")
        assign(message, value)
    if declaration.has_body:
        object.__setattr__(message, "body", body)
    elif len(body):
        raise BadMessage(f"{declaration.name} carries no body, yet {len(body)} bytes follow it")
    return message
