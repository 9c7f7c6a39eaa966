"""How far addresses mean something, and to whom they may be told."""

from __future__ import annotations

import pytest

from node.discovery.scope import Scope, may_pass, neighbourhood, plain, scope_of
from wire.types import Address

SCOPES = [
    ("127.0.0.1", Scope.LOOPBACK),
    ("::1", Scope.LOOPBACK),
    ("::ffff:127.0.0.1", Scope.LOOPBACK),
    ("169.254.7.7", Scope.LINK),
    ("fe80::1", Scope.LINK),
    ("fe80::1%eth0", Scope.LINK),
    ("10.1.2.3", Scope.SITE),
    ("172.16.0.1", Scope.SITE),
    ("192.168.0.1", Scope.SITE),
    ("100.64.0.1", Scope.SITE),
    ("fd00::1", Scope.SITE),
    ("::ffff:10.1.2.3", Scope.SITE),
    ("8.8.8.8", Scope.GLOBAL),
    ("2a00:1450::1", Scope.GLOBAL),
]


@pytest.mark.parametrize(("ip", "scope"), SCOPES)
def test_each_address_has_its_scope(ip: str, scope: Scope) -> None:
    assert scope_of(Address(ip, 1)) is scope


@pytest.mark.parametrize(
    ("contact", "between", "may"),
    [
        ("8.8.8.8", "8.8.4.4", True),
        ("8.8.8.8", "192.168.0.1", True),
        ("8.8.8.8", "127.0.0.1", True),
        ("192.168.0.2", "8.8.8.8", False),
        ("192.168.0.2", "192.168.0.1", True),
        ("192.168.0.2", "127.0.0.1", True),
        ("127.0.0.1", "8.8.8.8", False),
        ("127.0.0.1", "192.168.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("fe80::1", "fe80::2", False),
        ("fe80::1", "127.0.0.1", False),
        ("fd00::1", "2a00:1450::1", False),
        ("::ffff:10.0.0.1", "::ffff:8.8.8.8", False),
    ],
)
def test_an_address_passes_only_where_it_means_the_same(contact: str, between: str, may: bool) -> None:
    assert may_pass(Address(contact, 1), Address(between, 1)) is may


def test_ipv4_seen_through_ipv6_is_ipv4() -> None:
    assert plain(Address("::ffff:1.2.3.4", 5)) == Address("1.2.3.4", 5)
    assert plain(Address("2001:db8::1", 5)) == Address("2001:db8::1", 5)


def test_neighbours_share_a_network() -> None:
    assert neighbourhood(Address("1.2.3.4", 1)) == neighbourhood(Address("::ffff:1.2.3.250", 9))
    assert neighbourhood(Address("1.2.3.4", 1)) != neighbourhood(Address("1.2.4.4", 1))
    assert neighbourhood(Address("2a00:1450:1:2::1", 1)) == neighbourhood(
        Address("2a00:1450:1:ff::1%eth0", 1)
    )
