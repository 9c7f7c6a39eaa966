"""Where a DHT node is and what it is called: node ids, contacts, addresses in few bytes. Spec: `specs/dht.md` §Terms.

An address is written as its 4 or 16 bytes and a port in 2, most significant first. There is one form for each: an IPv4
address inside an IPv6 one is refused, and so is what no single machine can have.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from crypto.digest import framed, label, sha256
from wire import limits
from wire.errors import BadMessage, InvalidValue
from wire.types import Address

NETWORK_CONTEXT: Final = "lamella-dht-network/1"
_V4_BYTES: Final = 6
_V6_BYTES: Final = 18
_REMEMBERED: Final = 16_384
"""Addresses whose two forms are remembered: the same ones come in every answer."""


@dataclass(frozen=True, slots=True, order=True, repr=False)
class NodeId:
    """A place in the key space: of a node, the beginning of its public key's SHA-256; of records, their key."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != limits.NODE_ID_BYTES:
            raise InvalidValue(f"a node id is {limits.NODE_ID_BYTES} bytes, got {len(self.raw)}")

    def distance(self, other: NodeId) -> int:
        """How far two places are from each other (Kademlia §2.1)."""
        return int.from_bytes(self.raw, "big") ^ int.from_bytes(other.raw, "big")

    def __str__(self) -> str:
        return self.raw.hex()[:12]

    def __repr__(self) -> str:
        return f"NodeId({self.raw.hex()})"


def node_id_of(public_key: bytes) -> NodeId:
    """Return the one place in the key space that the holder of a key may take."""
    return NodeId(sha256(public_key)[: limits.NODE_ID_BYTES])


@dataclass(frozen=True, slots=True)
class NodeContact:
    """A node and the address of its datagrams. A hint, until the node has answered from there."""

    node: NodeId
    address: Address


def network_tag(network: str) -> bytes:
    """Return what datagrams name a network by. Raises `InvalidLabel` for a name that cannot be one."""
    return sha256(framed(label(NETWORK_CONTEXT), label(network)))[: limits.NETWORK_TAG_BYTES]


def pack_address(address: Address) -> bytes:
    """Return an address in 6 or 18 bytes. Raises `InvalidValue` for one that means nothing elsewhere."""
    return _pack(address)


def unpack_address(raw: object) -> Address:
    """Read what `pack_address` writes. Raises `BadMessage` for anything else."""
    if type(raw) is not bytes or len(raw) not in (_V4_BYTES, _V6_BYTES):
        raise BadMessage("expected an address in 6 or 18 bytes")
    return _unpack(raw)


@lru_cache(maxsize=_REMEMBERED)
def _pack(address: Address) -> bytes:
    packed = _packed(address.ip) + address.port.to_bytes(2, "big")
    try:
        unpack_address(packed)
    except BadMessage as error:
        raise InvalidValue(error.detail) from error
    return packed


@lru_cache(maxsize=_REMEMBERED)
def _unpack(raw: bytes) -> Address:
    port = int.from_bytes(raw[-2:], "big")
    if port == 0:
        raise BadMessage("an address has a port")
    if len(raw) == _V4_BYTES:
        if raw[0] == 0 or raw[0] >= 224:
            raise BadMessage("no single machine has this IPv4 address")
        return Address(".".join(map(str, raw[:-2])), port)
    v6 = ipaddress.IPv6Address(raw[:-2])
    if v6.is_unspecified or v6.is_multicast or v6.is_link_local or v6.ipv4_mapped is not None:
        raise BadMessage("no single machine has this IPv6 address, or it means nothing elsewhere")
    return Address(str(v6), port)


def pack_contact(contact: NodeContact) -> bytes:
    """Return a contact in 26 or 38 bytes. Raises `InvalidValue` as `pack_address` does."""
    return contact.node.raw + pack_address(contact.address)


def unpack_contact(raw: object) -> NodeContact:
    """Read what `pack_contact` writes. Raises `BadMessage` for anything else."""
    if type(raw) is not bytes or len(raw) <= limits.NODE_ID_BYTES:
        raise BadMessage("expected a contact in 26 or 38 bytes")
    return NodeContact(NodeId(raw[: limits.NODE_ID_BYTES]), unpack_address(raw[limits.NODE_ID_BYTES :]))


def _packed(ip: str) -> bytes:
    try:
        return ipaddress.ip_address(ip).packed if "%" not in ip else b""
    except ValueError as error:
        raise InvalidValue(f"{ip!r} is not an IP address") from error
