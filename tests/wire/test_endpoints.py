"""Addresses and contacts have one form in bytes, and only those that can be reached have one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.digest import sha256
from crypto.errors import InvalidLabel
from wire.endpoints import (
    NodeContact,
    NodeId,
    network_tag,
    node_id_of,
    pack_address,
    pack_contact,
    unpack_address,
    unpack_contact,
)
from wire.errors import BadMessage, InvalidValue
from wire.types import Address


@given(st.binary(min_size=0, max_size=40))
def test_what_unpacks_packs_to_the_same_bytes(raw: bytes) -> None:
    try:
        address = unpack_address(raw)
    except BadMessage:
        return
    assert pack_address(address) == raw


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 65535))
def test_every_address_packs_or_is_refused_by_both_sides(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    address = Address(str(ip), port)
    try:
        packed = pack_address(address)
    except InvalidValue:
        with pytest.raises(BadMessage):
            unpack_address(ip.packed + port.to_bytes(2, "big"))
        return
    assert unpack_address(packed) == address


@pytest.mark.parametrize(
    "text",
    "0.0.0.0:1 224.0.0.1:1 255.255.255.255:1 1.2.3.4:0 [::]:1 [ff02::1]:1 [fe80::1]:1 [::ffff:1.2.3.4]:1 "
    "[fe80::1%eth0]:1".split(),
)
def test_an_address_nobody_can_have_elsewhere_is_not_packed(text: str) -> None:
    with pytest.raises(InvalidValue):
        pack_address(Address.parse(text))


@pytest.mark.parametrize("raw", [None, "text", b"", bytes(5), bytes(7), bytes(26), [1]])
def test_anything_else_is_not_an_address(raw: object) -> None:
    with pytest.raises(BadMessage):
        unpack_address(raw)


@pytest.mark.parametrize("text", ["198.51.100.9:7311", "[2001:db8::9]:1"])
def test_a_contact_survives_a_round_trip(text: str) -> None:
    contact = NodeContact(NodeId(bytes(range(20))), Address.parse(text))
    assert unpack_contact(pack_contact(contact)) == contact


@pytest.mark.parametrize("raw", [None, bytes(20), bytes(19), bytes(39), "x" * 26])
def test_anything_else_is_not_a_contact(raw: object) -> None:
    with pytest.raises(BadMessage):
        unpack_contact(raw)


def test_a_node_id_is_the_beginning_of_its_keys_digest() -> None:
    assert node_id_of(bytes(32)).raw == sha256(bytes(32))[:20]
    with pytest.raises(InvalidValue):
        NodeId(bytes(19))


def test_distance_is_the_exclusive_or() -> None:
    near, far = NodeId(bytes(19) + b"\x05"), NodeId(b"\x80" + bytes(19))
    assert near.distance(NodeId(bytes(20))) == 5
    assert far.distance(near) == (1 << 159) + 5
    assert str(near) == "0" * 12
    assert "05" in repr(near)


def test_networks_have_tags_of_their_own() -> None:
    assert len({network_tag(name) for name in ("main", "Main", "main ", "other")}) == 4
    with pytest.raises(InvalidLabel):
        network_tag("")
