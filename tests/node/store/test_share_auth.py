from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import Identity
from node.store.share_auth import (
    Asked,
    BadAuthorization,
    MembersGate,
    OpenGate,
    SwarmGate,
    authenticate,
    authorization,
)
from wire.limits import SHARE_CLOCK_SKEW_S, SHARE_FIELD_BYTES

SERVER = Identity.from_seed(bytes(32)).peer_id
CLIENT = Identity.from_seed(bytes([1]) * 32)
ASKED = Asked(server=SERVER, method="POST", path="/v1/chunks", body=b"digests")
NOW = 1_800_000_000.0


def test_a_signed_request_says_who_asks() -> None:
    assert authenticate(authorization(CLIENT, ASKED, NOW), ASKED, NOW) == CLIENT.peer_id


def test_a_request_without_a_header_says_nothing() -> None:
    assert authenticate(None, ASKED, NOW) is None


def test_the_header_fits_the_bound_on_fields() -> None:
    assert len(authorization(CLIENT, ASKED, 999_999_999_999.0)) < SHARE_FIELD_BYTES


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, server=CLIENT.peer_id),
        replace(ASKED, method="GET"),
        replace(ASKED, path="/v1/chunks/"),
        replace(ASKED, body=b"digest"),
        replace(ASKED, network="club"),
    ],
    ids=["server", "method", "path", "body", "network"],
)
def test_a_signature_is_worth_nothing_for_another_request(other: Asked) -> None:
    with pytest.raises(BadAuthorization, match="signature"):
        authenticate(authorization(CLIENT, ASKED, NOW), other, NOW)


@pytest.mark.parametrize("away", [SHARE_CLOCK_SKEW_S + 2, -SHARE_CLOCK_SKEW_S - 2])
def test_a_time_that_is_off_is_refused(away: float) -> None:
    header = authorization(CLIENT, ASKED, NOW)
    with pytest.raises(BadAuthorization, match="set both clocks"):
        authenticate(header, ASKED, NOW + away)


@pytest.mark.parametrize("away", [SHARE_CLOCK_SKEW_S - 1, 1 - SHARE_CLOCK_SKEW_S])
def test_clocks_may_differ_a_little(away: float) -> None:
    assert authenticate(authorization(CLIENT, ASKED, NOW), ASKED, NOW + away) == CLIENT.peer_id


def test_the_time_is_signed() -> None:
    old = authorization(CLIENT, ASKED, NOW)
    fresh = old.replace(str(int(NOW)), str(int(NOW) + 1000))
    assert fresh != old
    with pytest.raises(BadAuthorization, match="signature"):
        authenticate(fresh, ASKED, NOW + 1000)


def test_another_key_does_not_pass_for_the_one_that_signed() -> None:
    header = authorization(CLIENT, ASKED, NOW)
    other = Identity.from_seed(bytes([2]) * 32)
    with pytest.raises(BadAuthorization, match="signature"):
        authenticate(header.replace(CLIENT.public_key.hex(), other.public_key.hex()), ASKED, NOW)


@given(
    st.text(max_size=60)
    | st.from_regex(r"Lamella-Ed25519 [0-9a-f]{64} [0-9]{1,12} [0-9a-f]{128}", fullmatch=True)
)
def test_no_made_up_header_passes(header: str) -> None:
    with pytest.raises(BadAuthorization):
        authenticate(header, ASKED, NOW)


@pytest.mark.parametrize("change", ["{} ", " {}", "{},{}", "{}\n"])
def test_a_header_has_one_spelling(change: str) -> None:
    header = authorization(CLIENT, ASKED, NOW)
    with pytest.raises(BadAuthorization, match="form"):
        authenticate(change.format(header, header), ASKED, NOW)


def test_gates() -> None:
    members = {CLIENT.peer_id}
    gate = MembersGate(members)
    assert gate.allows(CLIENT.peer_id)
    assert not gate.allows(SERVER)
    assert not gate.allows(None)
    members.clear()
    assert not gate.allows(CLIENT.peer_id)
    assert OpenGate().allows(None)


def test_a_swarm_lets_in_whoever_proves_to_know_its_name() -> None:
    gate = SwarmGate()
    assert not gate.allows(None)
    club = replace(ASKED, network="club")
    assert gate.allows(authenticate(authorization(CLIENT, club, NOW), club, NOW))


@pytest.mark.parametrize("network", ["main", "clu", "clubs", "Club", ""])
def test_a_request_for_another_network_proves_nothing(network: str) -> None:
    header = authorization(CLIENT, replace(ASKED, network=network), NOW)
    with pytest.raises(BadAuthorization, match="signature"):
        authenticate(header, replace(ASKED, network="club"), NOW)


def test_the_parts_of_a_request_cannot_be_shifted_into_each_other() -> None:
    header = authorization(CLIENT, replace(ASKED, method="GE", path="T/v1"), NOW)
    with pytest.raises(BadAuthorization, match="signature"):
        authenticate(header, replace(ASKED, method="GET", path="/v1"), NOW)
