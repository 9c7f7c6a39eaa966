"""NAT-PMP messages, byte for byte as RFC 6886 draws them, and answers that are lies."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.reach import nat_pmp
from node.reach.errors import BadAnswer, RouterRefused
from node.reach.ports import Wanted
from wire.messages.reach import Transport
from wire.types import Address

WANTED = Wanted(transport=Transport.TCP, internal_port=7311, external_port=7400, lifetime_s=3600)
WITHDRAWN = Wanted(transport=Transport.TCP, internal_port=7311, external_port=7400, lifetime_s=0)


def mapping(*, result: int = 0, internal: int = 7311, external: int = 7400, lifetime_s: int = 600) -> bytes:
    return struct.pack(">BBHIHHI", 0, 130, result, 9, internal, external, lifetime_s)


def test_requests_are_as_the_rfc_draws_them() -> None:
    assert nat_pmp.address_request() == b"\0\0"
    assert nat_pmp.request(WANTED) == bytes.fromhex("00 02 0000 1c8f 1ce8 00000e10")
    assert nat_pmp.request(WITHDRAWN) == bytes.fromhex("00 02 0000 1c8f 0000 00000000")


def test_a_grant_is_read() -> None:
    mapped = nat_pmp.parse(mapping(), WANTED, external_ip="8.8.4.4")
    assert mapped is not None
    assert mapped.external == Address("8.8.4.4", 7400)
    assert mapped.lifetime_s == 600
    assert nat_pmp.parse(mapping(lifetime_s=0, external=0), WITHDRAWN, external_ip="8.8.4.4") is None


def test_the_external_address_is_read() -> None:
    assert nat_pmp.parse_address(struct.pack(">BBHI4s", 0, 128, 0, 9, bytes((8, 8, 4, 4)))) == "8.8.4.4"


@pytest.mark.parametrize("result", [1, 2, 3, 4, 5, 999])
def test_a_refusal_keeps_its_reason(result: int) -> None:
    for data in (mapping(result=result), mapping(result=result)[:8]):
        with pytest.raises(RouterRefused) as raised:
            nat_pmp.parse(data, WANTED, external_ip="8.8.4.4")
        assert raised.value.code == result


def test_only_answers_about_our_port_count() -> None:
    assert nat_pmp.is_answer(mapping(), WANTED)
    assert not nat_pmp.is_answer(mapping(internal=7312), WANTED)
    assert not nat_pmp.is_answer(nat_pmp.request(WANTED), WANTED)
    assert not nat_pmp.is_answer(b"\0", WANTED)
    assert not nat_pmp.is_address_answer(mapping())


@pytest.mark.parametrize(
    "data", [mapping(external=0), mapping(lifetime_s=0), mapping()[:-1], mapping() + b"\0", b"\0\x82"]
)
def test_an_answer_that_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        nat_pmp.parse(data, WANTED, external_ip="8.8.4.4")


@pytest.mark.parametrize("ip", [bytes(4), bytes((127, 0, 0, 1)), b"\xff" * 4])
def test_an_external_address_that_leads_nowhere_is_refused(ip: bytes) -> None:
    with pytest.raises(BadAnswer):
        nat_pmp.parse_address(struct.pack(">BBHI4s", 0, 128, 0, 9, ip))


@given(st.binary(max_size=20) | st.binary(min_size=14, max_size=14).map(lambda tail: b"\0\x82" + tail))
def test_any_bytes_are_a_mapping_or_a_named_error(data: bytes) -> None:
    with suppress(BadAnswer, RouterRefused):
        mapped = nat_pmp.parse(data, WANTED, external_ip="8.8.4.4")
        assert mapped is not None
        assert mapped.external.port
    with suppress(BadAnswer, RouterRefused):
        assert nat_pmp.parse_address(data)
