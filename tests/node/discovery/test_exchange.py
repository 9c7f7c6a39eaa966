"""Peer exchange: whom to tell of, whom to believe, how often."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import PeerId
from node.discovery.exchange import MAX_PER_NEIGHBOURHOOD, Neighbour, Pace, believable, peers_for
from node.discovery.scope import Scope, may_pass, scope_of
from wire import limits
from wire.contacts import Contact
from wire.messages.peers import KnownPeer, Peers
from wire.types import Address

OWN = PeerId(b"\xff" * 32)
IPS = ["127.0.0.1", "192.168.1.5", "10.0.0.5", "169.254.1.1", "8.8.8.8", "1.1.1.1", "::ffff:8.8.4.4"]
SIXES = ["::1", "fe80::1%eth0", "fd00::1", "2a00:1450::1", "2a00:1451::1"]


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def neighbour(number: int, ip: str, *, listens: int | None = 7311, dialled: bool = False) -> Neighbour:
    port = 7311 if dialled else 50_000 + number
    return Neighbour(peer=peer(number), address=Address(ip, port), dialled=dialled, listens=listens)


NEIGHBOURS = st.lists(
    st.builds(
        neighbour,
        st.integers(0, 40),
        st.sampled_from(IPS + SIXES),
        listens=st.none() | st.integers(0, 65_535),
        dialled=st.booleans(),
    ),
    max_size=80,
)


def told(asker: Neighbour, neighbours: list[Neighbour], seed: int = 0) -> Peers:
    return peers_for(asker, neighbours, listens=None, draw=random.Random(seed))


@given(NEIGHBOURS, st.sampled_from(IPS + SIXES))
def test_what_is_told_is_never_more_than_may_be(neighbours: list[Neighbour], ip: str) -> None:
    asker = neighbour(1, ip)
    answer = told(asker, neighbours)
    assert len(answer.peers) <= limits.MAX_PEERS_TOLD
    open_ones = {one.peer for one in neighbours if one.listens is not None}
    for one in answer.peers:
        assert one.peer in open_ones and one.peer != asker.peer
        assert may_pass(one.address, asker.address)
        assert scope_of(one.address) is not Scope.LINK
        assert "%" not in one.address.ip
        Contact(peer=one.peer, address=one.address)
    assert len({one.peer for one in answer.peers}) == len(answer.peers)


def test_private_addresses_stay_among_private_ones() -> None:
    home, public = neighbour(2, "192.168.1.9"), neighbour(3, "8.8.8.8")
    assert [one.peer for one in told(neighbour(1, "1.1.1.1"), [home, public]).peers] == [public.peer]
    assert {one.peer for one in told(neighbour(1, "192.168.1.5"), [home, public]).peers} == {
        home.peer,
        public.peer,
    }


def test_who_said_no_port_is_never_told_of() -> None:
    shy = neighbour(2, "8.8.8.8", listens=None, dialled=True)
    assert told(neighbour(1, "1.1.1.1"), [shy]).peers == ()
    assert [one.peer for one in told(neighbour(1, "1.1.1.1"), [replace(shy, listens=1)]).peers] == [shy.peer]


def test_the_address_told_is_where_we_dialled_or_what_we_saw() -> None:
    dialled = neighbour(2, "8.8.8.8", listens=9, dialled=True)
    came = neighbour(3, "::ffff:8.8.4.4", listens=9)
    answer = told(neighbour(1, "1.1.1.1"), [dialled, came])
    assert {str(one.address) for one in answer.peers} == {"8.8.8.8:7311", "8.8.4.4:9"}


def test_of_many_some_are_drawn_and_others_the_next_time() -> None:
    many = [neighbour(number, f"8.8.{number}.8") for number in range(2, 200)]
    first, second = (told(neighbour(1, "1.1.1.1"), many, seed) for seed in (1, 2))
    assert len(first.peers) == len(second.peers) == limits.MAX_PEERS_TOLD
    assert first != second


KNOWN = st.lists(
    st.builds(
        lambda number, ip, port: KnownPeer(peer=peer(number), address=Address(ip, port)),
        st.integers(0, 5),
        st.sampled_from([*IPS, *SIXES, "0.0.0.0", "224.0.0.1", "255.255.255.255"]),
        st.integers(0, 65_535),
    ),
    max_size=limits.MAX_PEERS_TOLD,
)


@given(KNOWN, st.sampled_from(IPS + SIXES))
def test_whatever_is_told_only_what_may_be_tried_is_taken(known: list[KnownPeer], ip: str) -> None:
    teller = neighbour(1, ip)
    taken = believable(Peers(peers=tuple(known)), teller, own=peer(0))
    for contact in taken:
        assert contact.peer not in (peer(0), teller.peer)
        assert may_pass(contact.address, teller.address)
    assert len(set(taken)) == len(taken)


def test_one_owner_cannot_fill_an_answer() -> None:
    crowd = tuple(
        KnownPeer(peer=peer(number), address=Address(f"8.8.8.{number}", 7311)) for number in range(2, 30)
    )
    other = KnownPeer(peer=peer(40), address=Address("9.9.9.9", 7311))
    taken = believable(Peers(peers=(*crowd, other)), neighbour(1, "1.1.1.1"), own=OWN)
    assert len(taken) == MAX_PER_NEIGHBOURHOOD + 1
    assert taken[-1].peer == other.peer


def test_a_public_peer_cannot_aim_us_into_our_own_network() -> None:
    inside = KnownPeer(peer=peer(2), address=Address("192.168.1.1", 80))
    assert believable(Peers(peers=(inside,)), neighbour(1, "8.8.8.8"), own=OWN) == ()
    assert len(believable(Peers(peers=(inside,)), neighbour(1, "192.168.1.5"), own=OWN)) == 1


def test_a_link_is_asked_again_after_its_interval_only() -> None:
    pace = Pace()
    assert pace.may(0.0)
    assert not pace.may(limits.PEERS_INTERVAL_S - 0.1)
    assert pace.may(limits.PEERS_INTERVAL_S)
    assert not pace.may(limits.PEERS_INTERVAL_S + 1)
