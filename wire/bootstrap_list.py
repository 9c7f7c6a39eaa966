"""A signed list of peers to begin with, and until when it holds. Spec: `specs/discovery.md` §Bootstrap lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from crypto.errors import BadSignature
from crypto.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from wire import limits
from wire.cbor import canonical, loads
from wire.contacts import Contact, pack, unpack
from wire.errors import BadMessage, InvalidValue, NewerVersion
from wire.networks import check_network

CONTEXT: Final = "lamella-bootstrap/1"
VERSION: Final = 1
DAY_S: Final = 86_400
_MAX_TIME: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapList:
    """Contacts of one network that a key vouches for, for a time."""

    network: str
    issued: int
    """Unix time in seconds."""
    expires: int
    """Unix time in seconds; from then on the list is refused."""
    contacts: tuple[Contact, ...]

    def __post_init__(self) -> None:
        check_network(self.network)
        if not 0 <= self.issued < self.expires <= _MAX_TIME:
            raise InvalidValue("a bootstrap list expires after it was issued")
        if self.expires - self.issued > limits.MAX_BOOTSTRAP_DAYS * DAY_S:
            raise InvalidValue(f"a bootstrap list holds for at most {limits.MAX_BOOTSTRAP_DAYS} days")
        if len(self.contacts) > limits.MAX_BOOTSTRAP_CONTACTS:
            raise InvalidValue(f"a bootstrap list has at most {limits.MAX_BOOTSTRAP_CONTACTS} contacts")
        if len(set(self.contacts)) != len(self.contacts):
            raise InvalidValue("a bootstrap list names a contact twice")

    def sign(self, identity: Identity) -> bytes:
        """Return the list as bytes that say who vouches for it. Raises `InvalidValue`."""
        body = self._body()
        return canonical([VERSION, body, identity.public_key, identity.sign(CONTEXT, body)])

    @classmethod
    def read(cls, data: bytes, public_key: bytes) -> BootstrapList:
        """Return what `data` says when `public_key` signed it; whether it still holds is for the caller.

        Raises:
            BadSignature: another key signed it, or none.
            NewerVersion: a later version of this protocol wrote it.
            BadMessage: it is no bootstrap list.
        """
        outer: Any = loads(data, max_bytes=limits.MAX_BOOTSTRAP_BYTES)
        if type(outer) is not list or not outer or type(outer[0]) is not int:
            raise BadMessage("expected a bootstrap list")
        if outer[0] > VERSION:
            raise NewerVersion(f"the list is of version {outer[0]}; this program reads {VERSION}")
        if outer[0] != VERSION or len(outer) != 4 or any(type(one) is not bytes for one in outer[1:]):
            raise BadMessage("expected a bootstrap list of a version, a body, a key and a signature")
        _, body, key, signature = outer
        if len(key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
            raise BadMessage("expected a key and a signature of Ed25519")
        if key != public_key:
            raise BadSignature(f"signed by the key {key.hex()[:16]}…, not by {public_key.hex()[:16]}…")
        verify(public_key, CONTEXT, body, signature)
        read = cls._of(loads(body, max_bytes=limits.MAX_BOOTSTRAP_BYTES))
        if canonical([VERSION, body, key, signature]) != data or read._body() != body:
            raise BadMessage("the list is not written as its contents are")
        return read

    def _body(self) -> bytes:
        return canonical([self.network, self.issued, self.expires, [pack(one) for one in self.contacts]])

    @classmethod
    def _of(cls, raw: Any) -> BootstrapList:
        if type(raw) is not list or len(raw) != 4:
            raise BadMessage("expected a network, two times and contacts")
        network, issued, expires, contacts = raw
        if type(network) is not str or type(issued) is not int or type(expires) is not int:
            raise BadMessage("expected a network and two times")
        if type(contacts) is not list or len(contacts) > limits.MAX_BOOTSTRAP_CONTACTS:
            raise BadMessage(f"expected at most {limits.MAX_BOOTSTRAP_CONTACTS} contacts")
        try:
            return cls(
                network=network,
                issued=issued,
                expires=expires,
                contacts=tuple(unpack(one) for one in contacts),
            )
        except InvalidValue as error:
            raise BadMessage(str(error)) from error
