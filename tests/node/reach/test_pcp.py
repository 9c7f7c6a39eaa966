"""PCP messages, byte for byte as RFC 6887 draws them, and answers that are lies."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.reach import pcp
from node.reach.errors import BadAnswer, RouterRefused
from node.reach.ports import Mapped, Wanted
from wire.messages.reach import Transport
from wire.types import Address

NONCE = bytes(range(12))
WANTED = Wanted(transport=Transport.UDP, internal_port=7311, external_port=7400, lifetime_s=3600)
WITHDRAWN = Wanted(transport=Transport.UDP, internal_port=7311, external_port=7400, lifetime_s=0)
V4 = bytes(10) + b"\xff\xff"


def answer(
    *, result: int = 0, lifetime_s: int = 600, nonce: bytes = NONCE, number: int = 17, port: int = 7500,
    internal: int = 7311, ip: bytes = V4 + socket.inet_aton("8.8.4.4"),
) -> bytes:  # fmt: skip
    head = struct.pack(">BBBBII12s", 2, 0x81, 0, result, lifetime_s, 5, b"")
    return head + struct.pack(">12sB3xHH16s", nonce, number, internal, port, ip)


def test_a_request_is_as_the_rfc_draws_it() -> None:
    data = pcp.request(WANTED, nonce=NONCE, own_ip="10.0.0.2")
    head = "0201 0000 00000e10" + "00" * 10 + "ffff 0a000002"
    payload = NONCE.hex() + "11 000000 1c8f 1ce8" + "00" * 10 + "ffff 00000000"
    assert data == bytes.fromhex(head + payload)
    assert len(data) == 60


def test_a_renewal_asks_for_the_address_it_has() -> None:
    data = pcp.request(WANTED, nonce=NONCE, own_ip="10.0.0.2", suggested_ip="8.8.4.4")
    assert data[44:] == V4 + socket.inet_aton("8.8.4.4")


def test_a_withdrawal_suggests_nothing() -> None:
    data = pcp.request(WITHDRAWN, nonce=NONCE, own_ip="2001:db8::2", suggested_ip="2001:db8::9")
    assert data[4:8] == bytes(4)
    assert data[42:] == bytes(18)


def test_a_grant_is_read() -> None:
    mapped = pcp.parse(answer(), WANTED)
    assert mapped is not None
    assert mapped.external == Address("8.8.4.4", 7500)
    assert (mapped.lifetime_s, mapped.method) == (600, "PCP")


def test_a_withdrawal_that_was_granted_is_none() -> None:
    assert pcp.parse(answer(lifetime_s=0, port=0, ip=bytes(16)), WITHDRAWN) is None


@pytest.mark.parametrize("result", [1, 2, 8, 10, 13, 200])
def test_a_refusal_keeps_its_reason(result: int) -> None:
    with pytest.raises(RouterRefused) as raised:
        pcp.parse(answer(result=result), WANTED)
    assert raised.value.code == result
    assert not raised.value.other_port


def test_a_router_that_only_knows_nat_pmp_says_so() -> None:
    data = struct.pack(">BBHI", 0, 128, 1, 7)
    assert pcp.is_answer(data, nonce=NONCE)
    with pytest.raises(RouterRefused):
        pcp.parse(data, WANTED)


@pytest.mark.parametrize(
    "data",
    [
        answer(nonce=bytes(12)),
        b"",
        b"\x02",
        b"\x02\x81\x00\x00",
        pcp.request(WANTED, nonce=NONCE, own_ip="10.0.0.2"),
        b"\x02\x82" + answer()[2:],
    ],
)
def test_what_is_not_an_answer_to_us_is_ignored(data: bytes) -> None:
    assert not pcp.is_answer(data, nonce=NONCE)


@pytest.mark.parametrize(
    "data",
    [
        answer(port=0),
        answer(lifetime_s=0),
        answer(number=6),
        answer(internal=7312),
        answer(ip=bytes(16)),
        answer(ip=V4 + socket.inet_aton("127.0.0.1")),
        answer()[:-4],
        answer() + b"\0",
        answer() + bytes(1100),
        answer()[:24],
    ],
)
def test_an_answer_that_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        pcp.parse(data, WANTED)


def test_options_after_the_answer_are_ignored() -> None:
    assert pcp.parse(answer() + bytes(8), WANTED) is not None


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: answer()[: 60 - len(tail)] + tail))
def test_any_bytes_are_a_mapping_in_bounds_or_a_named_error(data: bytes) -> None:
    if not pcp.is_answer(data, nonce=NONCE):
        return
    try:
        mapped = pcp.parse(data, WANTED)
    except (BadAnswer, RouterRefused):
        return
    assert isinstance(mapped, Mapped)
    assert mapped.external.port > 0
