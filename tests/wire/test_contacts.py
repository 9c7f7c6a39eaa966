"""Contacts as values, as text and as CBOR: what is read prints alike, and nobody's address is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import PeerId
from wire.cbor import canonical, loads
from wire.contacts import Contact, pack, unpack
from wire.errors import BadMessage, InvalidValue
from wire.types import Address

PEERS = st.none() | st.binary(min_size=32, max_size=32).map(PeerId)
IPS = st.sampled_from(["127.0.0.1", "192.168.1.9", "8.8.8.8", "::1", "fd00::1", "2001:db8::7"])
CONTACTS = st.builds(
    lambda peer, ip, port: Contact(peer=peer, address=Address(ip, port)), PEERS, IPS, st.integers(1, 65_535)
)
PLAIN = st.none() | st.integers(-1, 1 << 17) | st.binary(max_size=33) | st.text(max_size=3)


@given(CONTACTS)
def test_a_contact_is_the_same_as_text_and_as_cbor(contact: Contact) -> None:
    assert Contact.parse(str(contact)) == contact
    assert unpack(loads(canonical(pack(contact)))) == contact


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", "0.1.2.3:1", "224.0.0.251:1", "[ff02::fb]:1", "255.255.255.255:1", "240.0.0.1:1"],
)
def test_what_is_no_single_machine_is_no_contact(address: str) -> None:
    with pytest.raises(InvalidValue, match="no single machine"):
        Contact(address=Address.parse(address))


def test_a_contact_has_a_port_and_one_spelling() -> None:
    with pytest.raises(InvalidValue, match="no port"):
        Contact(address=Address("192.0.2.1", 0))
    with pytest.raises(InvalidValue, match=r"written as IPv4, 1\.2\.3\.4:5"):
        Contact(address=Address("::ffff:1.2.3.4", 5))


@pytest.mark.parametrize("text", ["", "@", "x@1.2.3.4:5", "@1.2.3.4:5", "1.2.3.4", "host:5", "a" * 52 + "@"])
def test_what_is_no_contact_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Contact.parse(text)


def test_a_scope_is_for_this_machine_only() -> None:
    contact = Contact.parse("[fe80::1%eth0]:7311")
    assert str(contact) == "[fe80::1%eth0]:7311"
    with pytest.raises(InvalidValue, match="another machine"):
        pack(contact)


@given(PLAIN | st.lists(PLAIN, max_size=4))
def test_any_values_are_a_contact_or_a_bad_message(raw: object) -> None:
    try:
        contact = unpack(raw)
    except BadMessage:
        return
    assert pack(contact) == raw


@pytest.mark.parametrize("port", [True, 0, -1, 65_536, 1.0, None, "1"])
def test_a_port_is_a_number_in_its_bounds(port: object) -> None:
    with pytest.raises(BadMessage):
        unpack([None, ipaddress.ip_address("192.0.2.1").packed, port])
