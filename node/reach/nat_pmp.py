"""NAT-PMP (RFC 6886 §3), as bytes. Pure. The predecessor of PCP, on the same port; IPv4 only."""

from __future__ import annotations

import socket
import struct
from typing import Final

from node.reach.errors import BadAnswer, RouterRefused
from node.reach.ports import Mapped, Wanted, checked_ip, granted
from wire.messages.reach import Transport

NAME: Final = "NAT-PMP"
PORT: Final = 5351
_ANSWER: Final = 128
_OPCODES: Final = {Transport.UDP: 1, Transport.TCP: 2}
_REQUEST: Final = struct.Struct(">BBHHHI")
_HEAD: Final = struct.Struct(">BBHI")
_ADDRESS: Final = struct.Struct(">BBHI4s")
_MAPPING: Final = struct.Struct(">BBHIHHI")
_MEANINGS: Final = {
    1: "it speaks another version",
    2: "mappings are switched off",
    3: "it has no network itself",
    4: "no resources",
    5: "it makes no mappings",
}


def address_request() -> bytes:
    """Ask for the external address (§3.2)."""
    return bytes((0, 0))


def request(wanted: Wanted) -> bytes:
    """Ask for a mapping, or with a lifetime of 0 withdraw it (§3.3, §3.4)."""
    external_port = wanted.external_port if wanted.lifetime_s else 0
    return _REQUEST.pack(
        0, _OPCODES[wanted.transport], 0, wanted.internal_port, external_port, wanted.lifetime_s
    )


def is_address_answer(data: bytes) -> bool:
    """Whether a datagram can be the answer to `address_request`."""
    return len(data) >= 2 and data[0] == 0 and data[1] == _ANSWER


def is_answer(data: bytes, wanted: Wanted) -> bool:
    """Whether a datagram can be the answer to `request`; one about another port is not."""
    if len(data) < 2 or data[0] != 0 or data[1] != _ANSWER + _OPCODES[wanted.transport]:
        return False
    return len(data) < _MAPPING.size or _MAPPING.unpack_from(data)[4] == wanted.internal_port


def parse_address(data: bytes) -> str:
    """Return the external address. Raises `RouterRefused`, `BadAnswer`."""
    _check(data, _ADDRESS.size)
    return checked_ip(socket.inet_ntoa(_ADDRESS.unpack(data)[4]), NAME)


def parse(data: bytes, wanted: Wanted, *, external_ip: str) -> Mapped | None:
    """Return the mapping; None for a withdrawal that was granted. Raises `RouterRefused`, `BadAnswer`."""
    _check(data, _MAPPING.size)
    _, _, _, _, _, port, lifetime_s = _MAPPING.unpack(data)
    if wanted.lifetime_s == 0:
        return None
    if lifetime_s == 0:
        raise BadAnswer(NAME, "a lifetime of 0 s")
    return granted(wanted, ip=external_ip, port=port, lifetime_s=lifetime_s, method=NAME)


def _check(data: bytes, size: int) -> None:
    if len(data) < _HEAD.size:
        raise BadAnswer(NAME, f"{len(data)} bytes")
    result = _HEAD.unpack_from(data)[2]
    if result:
        raise RouterRefused(NAME, result, _MEANINGS.get(result, "unknown reason"))
    if len(data) != size:
        raise BadAnswer(NAME, f"{len(data)} bytes")
