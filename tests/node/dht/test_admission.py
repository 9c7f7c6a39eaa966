"""Challenges are bounded, in all and by network, and an address has one at a time."""

from __future__ import annotations

from node.dht.admission import PER_NETWORK, Challenges
from wire import limits
from wire.endpoints import NodeContact, NodeId
from wire.types import Address


def contact(number: int, *, network: int | None = None) -> NodeContact:
    ip = f"20.{number if network is None else network}.0.{number % 250}"
    return NodeContact(NodeId(number.to_bytes(20, "big")), Address(ip, 1000 + number))


def test_an_address_is_challenged_once_at_a_time() -> None:
    challenges = Challenges()
    assert challenges.begin(contact(1))
    assert not challenges.begin(contact(1))
    challenges.end(contact(1))
    assert challenges.begin(contact(1))


def test_there_are_only_so_many_in_all() -> None:
    challenges = Challenges()
    assert sum(challenges.begin(contact(number)) for number in range(200)) == limits.MAX_PENDING_CHALLENGES
    assert len(challenges) == limits.MAX_PENDING_CHALLENGES


def test_one_network_cannot_take_all_places() -> None:
    challenges = Challenges()
    begun = [number for number in range(100) if challenges.begin(contact(number, network=1))]
    assert len(begun) == PER_NETWORK
    assert challenges.begin(contact(1, network=2))
    challenges.end(contact(begun[0], network=1))
    assert challenges.begin(contact(99, network=1))


def test_an_end_without_a_beginning_changes_nothing() -> None:
    challenges = Challenges()
    challenges.end(contact(1))
    assert len(challenges) == 0
