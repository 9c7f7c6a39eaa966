"""Which link is used when there are several; both ends must come to the same answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from crypto.identity import PeerId
from node.transport.registry import Name, Registry, wins
from wire.handshake import LISTENS, Peer
from wire.types import Address

A: Name = (PeerId(b"a" * 32), b"1" * 32)
B: Name = (PeerId(b"b" * 32), b"2" * 32)
ADDRESS = Address("10.0.0.1", 1)


@dataclass(eq=False)
class FakeLink:
    """A link as the registry sees it."""

    name: Name
    inbound: bool
    features: tuple[int, ...] = (LISTENS,)
    remote: Address = ADDRESS
    retired: bool = False
    via: PeerId | None = None

    @property
    def peer(self) -> Peer:
        peer_id, static_key = self.name
        return Peer(peer_id=peer_id, static_key=static_key, agent="", features=self.features, version=1)


def test_exactly_one_of_two_crossing_links_wins_and_both_ends_agree() -> None:
    for own, peer in ((A, B), (B, A)):
        assert wins(own, peer, inbound=True) != wins(own, peer, inbound=False)
    assert wins(A, B, inbound=False)
    assert wins(B, A, inbound=True)


def test_one_identity_in_two_processes_still_has_one_winner() -> None:
    one, two = (A[0], b"1" * 32), (A[0], b"2" * 32)
    assert wins(one, two, inbound=False) == wins(two, one, inbound=True)
    assert wins(one, two, inbound=False) != wins(two, one, inbound=False)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("own", [A, B])
def test_the_winner_is_used_whichever_came_first(own: Name, order: tuple[int, int]) -> None:
    peer = B if own is A else A
    registry: Registry[FakeLink] = Registry(own)
    links = [FakeLink(peer, inbound=False), FakeLink(peer, inbound=True)]
    kept = [registry.add(links[number]) for number in order]
    winner = next(link for link in links if wins(own, peer, inbound=link.inbound))
    assert registry[peer[0]] is winner
    assert len(registry) == 1
    loser = next(link for link in links if link is not winner)
    refused = not kept[1] and links[order[1]] is loser
    assert refused == (not loser.inbound and order[1] == 0)
    assert loser.retired or refused


def test_of_two_links_from_the_same_side_the_newer_counts() -> None:
    registry: Registry[FakeLink] = Registry(A)
    old, new = FakeLink(B, inbound=True), FakeLink(B, inbound=True)
    assert registry.add(old)
    assert registry.add(new)
    assert registry[B[0]] is new
    assert old.retired


def test_when_the_used_link_ends_a_retired_one_takes_its_place() -> None:
    registry: Registry[FakeLink] = Registry(A)
    old, new = FakeLink(B, inbound=True), FakeLink(B, inbound=True)
    registry.add(old)
    registry.add(new)
    assert registry.remove(new)
    assert registry[B[0]] is old
    assert registry.remove(old)
    assert not registry.remove(old)
    assert len(registry) == 0
    assert registry.get(B[0]) is None


def test_a_process_that_only_dials_out_is_not_used_to_reach_its_peer() -> None:
    registry: Registry[FakeLink] = Registry(A)
    chat = FakeLink((B[0], b"3" * 32), inbound=True, features=())
    registry.add(chat)
    assert registry.reusable(B[0]) is None
    assert registry[B[0]] is chat
    node = FakeLink(B, inbound=True)
    registry.add(node)
    assert registry.reusable(B[0]) is node
    assert registry[B[0]] is node
    assert not chat.retired
    assert list(registry) == [B[0]]


def test_a_link_is_found_by_the_address_it_was_dialled_at() -> None:
    registry: Registry[FakeLink] = Registry(A)
    link = FakeLink(B, inbound=False)
    registry.add(FakeLink((PeerId(b"c" * 32), b""), inbound=True))
    assert registry.dialled(ADDRESS) is None
    registry.add(link)
    assert registry.dialled(ADDRESS) is link
    assert len(registry.all()) == 2


RELAY = PeerId(b"r" * 32)


@pytest.mark.parametrize("inbound", [True, False])
def test_a_direct_link_takes_the_place_of_a_carried_one(inbound: bool) -> None:
    for direct_inbound in (True, False):
        registry: Registry[FakeLink] = Registry(A)
        carried, direct = FakeLink(B, inbound, via=RELAY), FakeLink(B, direct_inbound)
        assert registry.add(carried)
        assert registry.add(direct)
        assert carried.retired
        assert registry[B[0]] is direct


def test_a_carried_link_does_not_take_the_place_of_a_direct_one() -> None:
    registry: Registry[FakeLink] = Registry(A)
    direct, theirs = FakeLink(B, True), FakeLink(B, True, via=RELAY)
    registry.add(direct)
    assert not registry.add(FakeLink(B, False, via=RELAY))
    assert registry.add(theirs)
    assert theirs.retired
    assert registry[B[0]] is direct
    registry.remove(direct)
    assert registry[B[0]] is theirs


def test_a_link_by_a_relay_is_not_a_link_to_the_relay() -> None:
    registry: Registry[FakeLink] = Registry(A)
    registry.add(FakeLink(B, False, via=RELAY))
    assert registry.dialled(ADDRESS) is None
