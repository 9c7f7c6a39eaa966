"""Join strings: `lamella:` and the network and contacts that a person hands to another, in one word to copy.

A checksum tells a slip of copying from everything else. Spec: `specs/discovery.md` §Join strings.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from crypto.digest import framed, label, sha256
from wire import limits
from wire.cbor import canonical, loads
from wire.contacts import Contact, pack, unpack
from wire.errors import BadMessage, InvalidValue, NewerVersion
from wire.networks import check_network

SCHEME: Final = "lamella:"
VERSION: Final = 1
CHECKSUM_CONTEXT: Final = "lamella-invitation/1"
CHECKSUM_BYTES: Final = 4
"""One slip in four thousand million passes; the string is not signed, so more would protect nothing."""
_MAX_CHARS: Final = len(SCHEME) + -(-(CHECKSUM_BYTES + limits.MAX_INVITATION_BYTES) * 8 // 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A network and peers of it, best ones first."""

    network: str
    contacts: tuple[Contact, ...]

    def __post_init__(self) -> None:
        check_network(self.network)
        if not 1 <= len(self.contacts) <= limits.MAX_INVITED_CONTACTS:
            raise InvalidValue(f"a join string names 1 to {limits.MAX_INVITED_CONTACTS} contacts")
        if len(set(self.contacts)) != len(self.contacts):
            raise InvalidValue("a join string names a contact twice")

    def __str__(self) -> str:
        """The join string. Raises `InvalidValue` for a contact that means nothing on another machine."""
        payload = canonical([VERSION, self.network, [pack(one) for one in self.contacts]])
        coded = base64.b32encode(_checksum(payload) + payload).decode()
        return SCHEME + coded.rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> Invitation:
        """Read what `str` prints, and nothing else.

        Raises:
            NewerVersion: it is whole, and made by a later version of this protocol.
            InvalidValue: it is no join string, or was changed on the way.
        """
        payload = _payload(text)
        try:
            raw: Any = loads(payload, max_bytes=limits.MAX_INVITATION_BYTES)
            if type(raw) is not list or not raw or type(raw[0]) is not int:
                raise BadMessage("no version")
            if raw[0] > VERSION:
                raise NewerVersion(f"this join string is of version {raw[0]}; this program reads {VERSION}")
            invitation = cls._of(raw)
        except BadMessage as error:
            raise InvalidValue(f"this join string does not hold what it should: {error.detail}") from error
        if str(invitation) != text:
            raise InvalidValue("this join string is not written as its contents are")
        return invitation

    @classmethod
    def _of(cls, raw: list[Any]) -> Invitation:
        if len(raw) != 3 or type(raw[1]) is not str or type(raw[2]) is not list:
            raise BadMessage("expected a version, a network and contacts")
        if len(raw[2]) > limits.MAX_INVITED_CONTACTS:
            raise BadMessage(f"more than {limits.MAX_INVITED_CONTACTS} contacts")
        return cls(network=raw[1], contacts=tuple(unpack(one) for one in raw[2]))


def _payload(text: str) -> bytes:
    """What the string carries, once its checksum is right. Raises `InvalidValue`."""
    if not text.startswith(SCHEME):
        raise InvalidValue(f"a join string begins with {SCHEME}")
    if len(text) > _MAX_CHARS:
        raise InvalidValue(f"a join string has at most {_MAX_CHARS} characters, this one has {len(text)}")
    coded = text.removeprefix(SCHEME)
    if not all("a" <= one <= "z" or "2" <= one <= "7" for one in coded):
        raise InvalidValue("this join string has a character that is none of a-z and 2-7")
    try:
        data = base64.b32decode(coded.upper() + "=" * (-len(coded) % 8))
    except ValueError as error:
        raise InvalidValue("this join string has a character too many or too few") from error
    checksum, payload = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if checksum != _checksum(payload):
        raise InvalidValue("this join string has a wrong character, or a part of it is missing")
    return payload


def _checksum(payload: bytes) -> bytes:
    return sha256(framed(label(CHECKSUM_CONTEXT), payload))[:CHECKSUM_BYTES]
