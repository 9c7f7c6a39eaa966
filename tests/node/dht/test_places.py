"""Addresses are told apart by how far they mean something, and counted by network."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dht.places import Scope, is_v6, limited_network, may_tell, network_of, scope_of, source_of


@pytest.mark.parametrize(
    ("ip", "scope"),
    [
        ("127.0.0.1", Scope.MACHINE),
        ("127.9.9.9", Scope.MACHINE),
        ("::1", Scope.MACHINE),
        ("10.0.0.1", Scope.LOCAL),
        ("192.168.4.5", Scope.LOCAL),
        ("100.64.0.1", Scope.LOCAL),
        ("169.254.1.1", Scope.LOCAL),
        ("fd00::1", Scope.LOCAL),
        ("fe80::1", Scope.LOCAL),
        ("8.8.8.8", Scope.WORLD),
        ("203.0.113.5", Scope.WORLD),
        ("2001:db8::1", Scope.WORLD),
        ("2a00::1", Scope.WORLD),
    ],
)
def test_an_address_has_its_scope(ip: str, scope: Scope) -> None:
    assert scope_of(ip) is scope
    assert (limited_network(ip) is None) is (scope is not Scope.WORLD)


@given(st.ip_addresses() | st.ip_addresses(v=4))
def test_what_the_library_calls_private_is_not_of_the_world_and_the_bytes_are_its_own(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    text = str(ip)
    examples = ("192.0.2.", "198.51.100.", "203.0.113.", "198.18.", "198.19.", "2001:db8:")
    nobodys = (
        ip.is_private or ip.is_loopback or ip.is_link_local or ip in ipaddress.ip_network("100.64.0.0/10")
    )
    assert (scope_of(text) is Scope.WORLD) is (not nobodys or text.startswith(examples))
    assert network_of(text) == ip.packed[: 3 if ip.version == 4 else 6]
    assert source_of(text) == ip.packed[: 4 if ip.version == 4 else 8]


def test_networks_are_24_and_48_bits_and_senders_32_and_64() -> None:
    assert network_of("8.8.8.8") == network_of("8.8.8.200") != network_of("8.8.9.8")
    assert network_of("2a00:1:2::1") == network_of("2a00:1:2:ffff::1") != network_of("2a00:1:3::1")
    assert source_of("8.8.8.8") != source_of("8.8.8.9")
    assert source_of("2a00:1:2:3::1") == source_of("2a00:1:2:3:4::1") != source_of("2a00:1:2:4::1")
    assert is_v6("::1") and not is_v6("1.2.3.4")


def test_nobody_outside_may_send_us_into_our_own_network() -> None:
    assert not may_tell("8.8.8.8", "192.168.1.1")
    assert not may_tell("8.8.8.8", "127.0.0.1")
    assert not may_tell("192.168.1.1", "127.0.0.1")
    assert may_tell("192.168.1.1", "192.168.1.2")
    assert may_tell("127.0.0.1", "8.8.8.8")
