"""Where a peer may be reached, and how that is written for others. Spec: `specs/discovery.md` §Contacts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from crypto.errors import InvalidPeerId
from crypto.identity import PeerId
from wire.errors import BadMessage, InvalidValue
from wire.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """An address at which a peer takes links and datagrams, and which peer, when that is known.

    A contact is a hint: who answers there proves in the handshake who it is.
    """

    peer: PeerId | None = None
    address: Address

    def __post_init__(self) -> None:
        ip = ipaddress.ip_address(self.address.ip)
        if ip.is_unspecified or ip.is_multicast or _is_reserved(ip):
            raise InvalidValue(f"nobody can be reached at {self.address}: it is no single machine's address")
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            raise InvalidValue(f"{self.address} is written as IPv4, {ip.ipv4_mapped}:{self.address.port}")
        if self.address.port == 0:
            raise InvalidValue(f"{self.address} has no port that can be reached")

    @classmethod
    def parse(cls, text: str) -> Contact:
        """Read `IP:PORT` or `PEERID@IP:PORT`. Raises `InvalidValue`."""
        peer, separator, address = text.rpartition("@")
        try:
            return cls(peer=PeerId.parse(peer) if separator else None, address=Address.parse(address))
        except InvalidPeerId as error:
            raise InvalidValue(str(error)) from error

    def __str__(self) -> str:
        return str(self.address) if self.peer is None else f"{self.peer}@{self.address}"


def pack(contact: Contact) -> list[object]:
    """Return the contact as plain values for CBOR: peer id or null, the IP's 4 or 16 bytes, port.

    Raises `InvalidValue` for an address with a scope, which means nothing on another machine.
    """
    if "%" in contact.address.ip:
        raise InvalidValue(f"{contact.address} has a scope, which means nothing on another machine")
    peer = None if contact.peer is None else contact.peer.raw
    return [peer, ipaddress.ip_address(contact.address.ip).packed, contact.address.port]


def unpack(raw: object) -> Contact:
    """Return the contact of plain values that a peer wrote. Raises `BadMessage`."""
    if type(raw) is not list or len(raw) != 3:
        raise BadMessage("expected a contact [peer id or null, IP, port]")
    peer, ip, port = raw
    if not (peer is None or (type(peer) is bytes and len(peer) == 32)):
        raise BadMessage("expected a contact's peer id in 32 bytes, or null")
    if type(ip) is not bytes or len(ip) not in (4, 16):
        raise BadMessage("expected a contact's IP address in 4 or 16 bytes")
    if type(port) is not int:
        raise BadMessage("expected a contact's port")
    try:
        address = Address(str(ipaddress.ip_address(ip)), port)
        return Contact(peer=None if peer is None else PeerId(peer), address=address)
    except InvalidValue as error:
        raise BadMessage(str(error)) from error


def _is_reserved(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an IPv4 address is of the class nobody has, broadcast included; IPv6 keeps its spare space unrouted."""
    return isinstance(ip, ipaddress.IPv4Address) and (ip.is_reserved or ip.packed[0] == 0)
