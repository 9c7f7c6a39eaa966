"""What a peer says of itself on its local network, by DNS service discovery.

RFC 6763 gives the form: an instance of `_lamella._tcp`, its port in the SRV record, its facts in the TXT record.
Spec: `specs/discovery.md` §Local networks.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crypto.errors import InvalidPeerId
from crypto.identity import PeerId
from wire import limits
from wire.errors import BadMessage
from wire.networks import TAG_BYTES

SERVICE: Final = "_lamella._tcp"
VERSION: Final = b"1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanText:
    """The facts of a TXT record: who announces, and in which network."""

    peer: PeerId
    network: bytes
    """The network's tag (`wire.networks`)."""

    def encode(self) -> dict[bytes, bytes]:
        """Return the keys and values of the TXT record, in the order they are sent."""
        return {b"v": VERSION, b"n": _base32(self.network), b"id": str(self.peer).encode()}

    @classmethod
    def decode(cls, values: Mapping[bytes, bytes | None]) -> LanText:
        """Read a TXT record; keys of later versions are ignored. Raises `BadMessage`."""
        version, tag, peer = (values.get(key) for key in (b"v", b"n", b"id"))
        if version != VERSION or tag is None or peer is None:
            raise BadMessage("not an announcement of this version")
        if sum(len(key) + len(value or b"") + 2 for key, value in values.items()) > limits.MAX_LAN_TEXT_BYTES:
            raise BadMessage(f"an announcement has at most {limits.MAX_LAN_TEXT_BYTES} bytes of facts")
        try:
            read = cls(peer=PeerId.parse(peer.decode("ascii")), network=_from_base32(tag))
        except (InvalidPeerId, UnicodeDecodeError) as error:
            raise BadMessage("an announcement without a peer id") from error
        return read


def _base32(data: bytes) -> bytes:
    return base64.b32encode(data).rstrip(b"=").lower()


def _from_base32(text: bytes) -> bytes:
    try:
        data = base64.b32decode(text.upper() + b"=" * (-len(text) % 8))
    except ValueError as error:
        raise BadMessage("an announcement without a network tag") from error
    if len(data) != TAG_BYTES or _base32(data) != text:
        raise BadMessage("an announcement without a network tag")
    return data
