"""Contacts by distance, with limits by network, of both IP families."""

from __future__ import annotations

import os
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from node.dht.routing import Families, KnownNode, Routing
from tests.fakes.records import identity
from wire import limits
from wire.endpoints import NodeContact, NodeId
from wire.types import Address

OWN = NodeId(bytes(20))


def node(number: int, ip: str | None = None) -> KnownNode:
    where = ip or f"{20 + number // 65_536}.{number // 256 % 256}.{number % 256}.1"
    return KnownNode(identity(number).public_key, Address(where, 7311))


def full(count: int) -> Routing:
    routing = Routing(OWN)
    for number in range(count):
        routing.add(node(number))
    return routing


def test_the_nearest_are_found_nearest_first() -> None:
    routing = full(100)
    target = NodeId(os.urandom(20))
    found = [one.contact.node for one in routing.nearest(target, 8)]
    everyone = sorted((one.contact.node for one in routing), key=target.distance)
    assert found == sorted(found, key=target.distance)
    assert found == everyone[:8]


def test_a_table_keeps_more_of_what_is_near_and_some_of_all() -> None:
    routing = full(600)
    assert 80 < len(routing) < 600
    near = sorted((node(number).contact.node for number in range(600)), key=OWN.distance)[:12]
    assert all(routing.get(one) is not None for one in near)


def test_one_network_has_few_contacts_and_a_local_one_as_many_as_there_are() -> None:
    routing = Routing(OWN)
    for number in range(100):
        routing.add(node(number, f"8.8.8.{number}"))
    assert 0 < len(routing) <= limits.TABLE_CONTACTS_PER_NETWORK
    for number in range(100, 116):
        routing.add(node(number, f"192.168.1.{number}"))
    assert len(routing) >= 14


def test_places_of_a_network_come_free_again() -> None:
    routing = Routing(OWN)
    for number in range(400):
        routing.add(node(number, f"8.8.8.{number % 250}"))
    for one in list(routing):
        routing.remove(one.contact.node)
    assert len(routing) == 0
    assert routing.add(node(1, "8.8.8.8")) is None
    assert len(routing) == 1


def test_ourselves_we_do_not_know() -> None:
    own = identity(1)
    routing = Routing(node(1).contact.node)
    routing.add(KnownNode(own.public_key, Address("8.8.8.8", 1)))
    assert len(routing) == 0
    assert not routing.wants(NodeContact(routing.own, Address("8.8.8.8", 1)))


def test_a_full_bucket_names_the_longest_silent_to_check() -> None:
    routing = full(600)
    checks = [routing.add(node(number)) for number in range(600, 700)]
    asked = [one for one in checks if one is not None]
    assert asked
    assert all(routing.get(one.contact.node) is one for one in asked)
    gone = asked[0]
    before = len(routing)
    routing.remove(gone.contact.node)
    assert routing.get(gone.contact.node) is None
    # One that waited takes its place.
    assert len(routing) == before


def test_a_contact_that_moved_is_wanted_and_replaces_itself() -> None:
    routing = full(5)
    moved = node(3, "9.9.9.9")
    assert not routing.wants(node(3).contact)
    assert routing.wants(moved.contact)
    routing.add(moved)
    assert routing.get(moved.contact.node) is moved
    assert len(routing) == 5
    assert moved.peer == identity(3).peer_id


def test_contacts_are_chosen_by_ip_family_and_without_who_asks() -> None:
    routing = full(10)
    six = node(50, "2001:db8::1")
    routing.add(six)
    assert routing.nearest(OWN, 8, families=Families(v4=False, v6=True)) == [six]
    four = routing.nearest(OWN, 20, families=Families(v4=True, v6=False))
    assert len(four) == 10
    but = routing.nearest(OWN, 20, but=four[0].contact.node)
    assert four[0] not in but


def test_nearer_contacts_are_counted() -> None:
    routing = full(50)
    assert routing.nearer(OWN) == 0
    assert routing.nearer(NodeId(b"\xff" * 20)) == len(routing) > 30


@lru_cache(maxsize=1000)
def filled(count: int) -> Routing:
    routing = Routing(node(9_999).contact.node)
    for number in range(count):
        routing.add(node(number))
    return routing


@given(st.binary(min_size=20, max_size=20), st.integers(0, 160), st.integers(0, 200))
def test_they_are_counted_as_if_one_by_one(place: bytes, shared: int, contacts: int) -> None:
    routing = filled(contacts)
    # Keys of all distances to this node, those in its own bucket included.
    mask = (1 << 160 - shared) - 1
    own = int.from_bytes(routing.own.raw, "big")
    key = NodeId(((own & ~mask) | (int.from_bytes(place, "big") & mask)).to_bytes(20, "big"))
    assert nearer_one_by_one(routing, key) == routing.nearer(key)
    gone = next(iter(routing), None)
    if gone is not None:
        routing.remove(gone.contact.node)
        assert nearer_one_by_one(routing, key) == routing.nearer(key)
        routing.add(gone)
        assert nearer_one_by_one(routing, key) == routing.nearer(key)


def nearer_one_by_one(routing: Routing, key: NodeId) -> int:
    return sum(one.contact.node.distance(key) < routing.own.distance(key) for one in routing)


def test_every_bucket_is_refreshed_at_a_place_of_its_own() -> None:
    routing = full(300)
    targets = routing.refresh_targets(os.urandom)
    assert len(set(targets)) == len(targets) >= 3
    assert len(routing.oldest()) <= len(targets)
    assert len(Routing(OWN).refresh_targets(os.urandom)) == 1
