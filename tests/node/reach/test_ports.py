"""What a router grants is checked before it is a value."""

from __future__ import annotations

import pytest

from node.reach.errors import BadAnswer
from node.reach.ports import MOST_LIFETIME_S, Wanted, checked_ip, granted
from wire.messages.reach import Transport
from wire.types import Address

WANTED = Wanted(transport=Transport.TCP, internal_port=7311, external_port=7311)


def test_a_grant_carries_what_was_asked_and_what_was_given() -> None:
    mapped = granted(WANTED, ip="8.8.4.4", port=9000, lifetime_s=60, method="PCP")
    assert mapped.external == Address("8.8.4.4", 9000)
    assert (mapped.transport, mapped.internal_port, mapped.lifetime_s) == (Transport.TCP, 7311, 60)
    assert mapped.is_public


def test_an_address_behind_another_router_is_not_public() -> None:
    assert not granted(WANTED, ip="100.64.1.1", port=1, lifetime_s=60, method="PCP").is_public
    assert not granted(WANTED, ip="192.168.1.1", port=1, lifetime_s=60, method="PCP").is_public


def test_a_lifetime_of_years_is_taken_as_a_day() -> None:
    assert (
        granted(WANTED, ip="8.8.4.4", port=1, lifetime_s=2**32 - 1, method="x").lifetime_s == MOST_LIFETIME_S
    )


@pytest.mark.parametrize(("port", "lifetime_s"), [(0, 60), (65_536, 60), (-1, 60), (1, -1)])
def test_a_port_or_lifetime_that_cannot_be_is_refused(port: int, lifetime_s: int) -> None:
    with pytest.raises(BadAnswer):
        granted(WANTED, ip="8.8.4.4", port=port, lifetime_s=lifetime_s, method="PCP")


@pytest.mark.parametrize(
    "text",
    ["", "x", "0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.1.1", "255.255.255.255", "::", "::1", "fe80::1",
     "fe80::1%eth0", "2001:db8::1%eth0", "::ffff:8.8.8.8", "ff02::1", "8.8.8.8 ", "example.org"],
)  # fmt: skip
def test_an_external_address_that_no_machine_can_have_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        checked_ip(text, "PCP")


def test_an_external_address_has_one_spelling() -> None:
    assert checked_ip("2001:4860:0:0::8888", "PCP") == "2001:4860::8888"
