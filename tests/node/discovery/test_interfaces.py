"""The interfaces of this machine, and what their networks may name."""

from __future__ import annotations

import pytest

from node.discovery.interfaces import LocalAddress, local_addresses, on_local_network, takes_multicast
from node.discovery.scope import Scope
from wire.types import Address

LOOPBACK = LocalAddress("127.0.0.1", 8, 1)
HOME = LocalAddress("192.168.1.5", 24, 2)
PUBLIC = LocalAddress("2a00:1450:0:1::5", 64, 2)


def test_this_machine_has_addresses_and_loopback_only_when_alone() -> None:
    found = local_addresses()
    assert found
    scopes = {one.scope for one in found}
    assert scopes == {Scope.LOOPBACK} or Scope.LOOPBACK not in scopes
    assert all("%" not in one.ip and 0 < one.prefix <= 128 for one in found)


@pytest.mark.parametrize(
    ("ip", "local", "may"),
    [
        ("127.0.0.1", {LOOPBACK}, True),
        ("127.0.0.1", {HOME}, False),
        ("10.0.0.1", {HOME}, True),
        ("2a00:1450:0:1::9", {PUBLIC}, True),
        ("2a00:1450:0:2::9", {PUBLIC, HOME}, False),
        ("8.8.8.8", {PUBLIC, HOME}, False),
        ("169.254.3.3", {HOME}, True),
        ("fe80::1%2", {HOME}, True),
        ("fe80::1", {HOME}, False),
    ],
)
def test_a_network_names_its_own_machines(ip: str, local: set[LocalAddress], may: bool) -> None:
    assert on_local_network(Address(ip, 1), local) is may


def test_loopback_takes_multicast_and_an_address_that_is_not_ours_does_not() -> None:
    assert takes_multicast(LOOPBACK)
    assert not takes_multicast(LocalAddress("198.51.100.7", 24, 1))
    assert not takes_multicast(LocalAddress("fd00::dead", 64, 4_000_000))
