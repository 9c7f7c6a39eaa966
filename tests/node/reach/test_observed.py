"""Networks vote on what we are seen at; one liar has one vote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.reach import observed
from node.reach.observed import Nat, Observed, network_of
from wire.types import Address

OURS = Address("8.8.4.4", 7311)
WRONG = Address("6.6.6.6", 7311)


def seen(*votes: tuple[str, Address], datagram: bool = True, needed: int = 2) -> Observed:
    tally = Observed(needed=needed)
    for by, address in votes:
        tally.saw(by, address, datagram=datagram, now=0.0)
    return tally


def test_two_networks_that_agree_are_believed_and_one_is_not() -> None:
    assert seen(("1.1.0.1", OURS)).datagram_address(4, 1.0) is None
    tally = seen(("1.1.0.1", OURS), ("2.2.0.1", OURS))
    assert tally.datagram_address(4, 1.0) == OURS
    assert tally.ip(4, 1.0) == OURS.ip
    assert tally.ip(6, 1.0) is None
    assert tally.nat(4, 1.0) is Nat.STEADY


def test_many_peers_of_one_network_are_one_voice() -> None:
    votes = [(f"1.1.{n}.1", WRONG) for n in range(50)]
    assert seen(*votes).datagram_address(4, 1.0) is None
    assert seen(*votes, ("2.2.0.1", OURS), ("3.3.0.1", OURS)).datagram_address(4, 1.0) == OURS


def test_half_of_all_networks_are_not_enough() -> None:
    votes = [("1.1.0.1", WRONG), ("2.2.0.1", WRONG), ("3.3.0.1", OURS), ("4.4.0.1", OURS)]
    assert seen(*votes).datagram_address(4, 1.0) is None
    assert seen(*votes, ("5.5.0.1", OURS)).datagram_address(4, 1.0) == OURS


def test_links_tell_the_ip_whatever_their_ports() -> None:
    votes = [("1.1.0.1", Address(OURS.ip, 4)), ("2.2.0.1", Address(OURS.ip, 5))]
    tally = seen(*votes, datagram=False)
    assert tally.ip(4, 1.0) == OURS.ip
    assert tally.datagram_address(4, 1.0) is None
    assert tally.nat(4, 1.0) is Nat.UNKNOWN


def test_a_port_for_every_network_is_a_symmetric_router() -> None:
    votes = [(f"{n}.1.0.1", Address(OURS.ip, 4000 + n)) for n in range(1, 4)]
    assert seen(*votes[:2]).nat(4, 1.0) is Nat.UNKNOWN
    assert seen(*votes).nat(4, 1.0) is Nat.SYMMETRIC
    assert seen(*votes).ip(4, 1.0) == OURS.ip


def test_a_few_liars_do_not_make_a_router_symmetric() -> None:
    honest = [(f"{n}.1.0.1", OURS) for n in range(1, 6)]
    liars = [(f"{n}.1.0.1", Address(OURS.ip, n)) for n in range(10, 14)]
    assert seen(*honest, *liars).nat(4, 1.0) is Nat.STEADY


def test_what_was_said_long_ago_is_forgotten_and_the_newest_word_counts() -> None:
    tally = seen(("1.1.0.1", OURS), ("2.2.0.1", OURS))
    assert tally.ip(4, observed.KEPT_S + 1) is None
    for by in ("1.1.0.1", "2.2.0.1"):
        tally.saw(by, WRONG, datagram=True, now=5.0)
    assert tally.ip(4, 6.0) == WRONG.ip
    tally.forget()
    assert tally.ip(4, 6.0) is None


def test_a_peer_speaks_for_its_own_family_only() -> None:
    tally = seen(("2001:db8::1", OURS), ("1.1.0.1", Address("2001:db8::5", 1)), needed=1)
    assert tally.ip(4, 1.0) is None
    assert tally.ip(6, 1.0) is None


def test_a_swarm_in_one_building_may_believe_one_network() -> None:
    assert seen(("192.168.0.2", Address("192.168.0.9", 7311)), needed=1).ip(4, 1.0) == "192.168.0.9"


def test_networks_are_what_a_provider_has() -> None:
    assert network_of("8.8.4.4") == network_of("8.8.200.1") != network_of("8.9.4.4")
    assert network_of("2001:db8:1::1") == network_of("2001:db8:2::1") != network_of("2001:db9::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


@given(st.lists(st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 9)), max_size=200))
def test_memory_is_bounded_and_no_vote_raises(votes: list[tuple[object, object, int]]) -> None:
    tally = seen(*((str(by), Address(str(ip), port)) for by, ip, port in votes))
    assert len(tally._datagrams) <= observed.MAX_VOTES
    tally.nat(4, 1.0)
    address = tally.datagram_address(4, 1.0)
    if address is not None:
        said = {network_of(str(by)): Address(str(ip), port) for by, ip, port in votes}
        assert list(said.values()).count(address) >= 2
