"""PCP's MAP operation (RFC 6887 §7, §11), as bytes: what is asked and what is answered. Pure.

A mapping belongs to a nonce that only we and the router know: renewals and withdrawals carry the same one, and an
answer without it is not ours.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from node.reach.errors import BadAnswer, RouterRefused
from node.reach.ports import Mapped, Wanted, granted

NAME: Final = "PCP"
PORT: Final = 5351
NONCE_BYTES: Final = 12
MAX_BYTES: Final = 1_100
"""RFC 6887 §7: the longest PCP message."""
_VERSION: Final = 2
_MAP: Final = 1
_ANSWER: Final = 0x80
_REQUEST: Final = struct.Struct(">BBHI16s")
_RESPONSE: Final = struct.Struct(">BBBBII12s")
_PAYLOAD: Final = struct.Struct(">12sB3xHH16s")
_UNSUPPORTED_VERSION: Final = 1
_MEANINGS: Final = {
    1: "it speaks another version",
    2: "not authorised",
    3: "malformed request",
    4: "it makes no mappings",
    5: "unsupported option",
    6: "malformed option",
    7: "it has no network itself",
    8: "no resources",
    9: "unsupported protocol",
    10: "too many mappings",
    11: "it cannot provide that external address or port",
    12: "another router stands between",
    13: "too many peers",
}
_OTHER_PORT: Final = 11


def request(wanted: Wanted, *, nonce: bytes, own_ip: str, suggested_ip: str | None = None) -> bytes:
    """Return a MAP request; a lifetime of 0 withdraws the mapping that this nonce made.

    Args:
        wanted: the port; its external port is a suggestion.
        nonce: 12 random bytes, the same for the life of the mapping.
        own_ip: the address the packet will come from; the router compares.
        suggested_ip: the external address to keep, on a renewal.
    """
    any_ip = "::" if ":" in own_ip else "0.0.0.0"  # noqa: S104 - the unspecified address asks for any; nothing binds to it
    withdraws = wanted.lifetime_s == 0
    head = _REQUEST.pack(_VERSION, _MAP, 0, wanted.lifetime_s, _packed(own_ip))
    return head + _PAYLOAD.pack(
        nonce,
        wanted.transport.number,
        wanted.internal_port,
        0 if withdraws else wanted.external_port,
        _packed(any_ip if withdraws or suggested_ip is None else suggested_ip),
    )


def is_answer(data: bytes, *, nonce: bytes) -> bool:
    """Whether a datagram from the router can be the answer to a request with this nonce; others are ignored.

    A router that only speaks NAT-PMP answers 8 bytes or more of version 0 (RFC 6887 §9).
    """
    if len(data) >= 4 and data[0] != _VERSION:
        return bool(data[1] & _ANSWER)
    whole = _RESPONSE.size + _PAYLOAD.size
    if len(data) < _RESPONSE.size or data[1] != _MAP | _ANSWER:
        return False
    return len(data) < whole or data[_RESPONSE.size : _RESPONSE.size + NONCE_BYTES] == nonce


def parse(data: bytes, wanted: Wanted) -> Mapped | None:
    """Read an answer that `is_answer`; None for a withdrawal that was granted.

    Raises:
        RouterRefused: with the router's reason.
        BadAnswer: anything that cannot be.
    """
    if len(data) >= 4 and data[0] != _VERSION:
        raise RouterRefused(NAME, _UNSUPPORTED_VERSION, _MEANINGS[_UNSUPPORTED_VERSION])
    if len(data) > MAX_BYTES or len(data) < _RESPONSE.size or len(data) % 4:
        raise BadAnswer(NAME, f"{len(data)} bytes")
    _, _, _, result, lifetime_s, _, _ = _RESPONSE.unpack_from(data)
    if result:
        raise RouterRefused(
            NAME, result, _MEANINGS.get(result, "unknown reason"), other_port=result == _OTHER_PORT
        )
    if len(data) < _RESPONSE.size + _PAYLOAD.size:
        raise BadAnswer(NAME, f"{len(data)} bytes")
    _, protocol, internal_port, port, packed = _PAYLOAD.unpack_from(data, _RESPONSE.size)
    if (protocol, internal_port) != (wanted.transport.number, wanted.internal_port):
        raise BadAnswer(NAME, "it is about another port")
    if wanted.lifetime_s == 0:
        return None
    if lifetime_s == 0:
        raise BadAnswer(NAME, "a lifetime of 0 s")
    return granted(wanted, ip=_text(packed), port=port, lifetime_s=lifetime_s, method=NAME)


def _packed(ip: str) -> bytes:
    """16 bytes; an IPv4 address as an IPv4-mapped one (RFC 6887 §5)."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def _text(packed: bytes) -> str:
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
