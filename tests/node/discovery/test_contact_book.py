"""The book of contacts: what all roads say, whom to try next, and that no road crowds out another."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto.identity import PeerId
from node.discovery.contact_book import MAX_PER_TELLER, TRYING_S, ContactBook
from node.discovery.entries import AGAIN_S, HEARSAY_S, KEPT, KEPT_S, PLACES, Failure, Met, Road
from wire.contacts import Contact
from wire.types import Address

OWN = PeerId(b"\xff" * 32)


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def contact(number: int, *, named: bool = True) -> Contact:
    address = Address(f"8.{number // 250 % 250}.{number % 250}.8", 7311)
    return Contact(peer=peer(number) if named else None, address=address)


@pytest.fixture
def book() -> ContactBook:
    return ContactBook(own=OWN, draw=random.Random(7))


def test_roads_take_turns_and_the_best_goes_first(book: ContactBook) -> None:
    book.heard([contact(one) for one in range(100, 130)], Road.EXCHANGE, 0.0, teller=peer(1))
    book.heard([contact(1), contact(2)], Road.CONFIGURED, 0.0)
    book.heard([contact(3)], Road.LAN, 0.0)
    first = book.due(0.0, 5)
    assert first[:3] == [contact(1), contact(3), contact(100)]
    assert first[3] == contact(2)


def test_who_was_handed_out_is_not_handed_out_again_at_once(book: ContactBook) -> None:
    book.heard([contact(1)], Road.CONFIGURED, 0.0)
    assert book.due(0.0, 9) == [contact(1)]
    assert book.due(TRYING_S - 0.1, 9) == []
    assert book.due(TRYING_S, 9) == [contact(1)]
    assert book.due(100.0, 0) == []


def test_a_failure_backs_off_and_an_answer_brings_it_back(book: ContactBook) -> None:
    book.heard([contact(1)], Road.CONFIGURED, 0.0)
    waits = []
    now = 0.0
    for _ in range(8):
        assert book.due(now, 1) == [contact(1)]
        book.failed(contact(1), Failure.SILENT, now)
        wait = book.next_due_s(now)
        assert wait is not None and book.due(now + wait - 0.01, 1) == []
        waits.append(wait)
        now += wait
    assert waits == sorted(waits) and waits[-1] > 20
    book.answered(contact(1), peer(1), now)
    assert book.next_due_s(now) == AGAIN_S
    assert book.why_alone() is None


def test_waits_of_many_programs_differ() -> None:
    waits = set()
    for seed in range(5):
        book = ContactBook(draw=random.Random(seed))
        book.heard([contact(1)], Road.BOOTSTRAP, 0.0)
        book.failed(contact(1), Failure.SILENT, 0.0)
        waits.add(book.next_due_s(0.0))
    assert len(waits) == 5


def test_linked_peers_are_not_tried_and_stay_fresh(book: ContactBook) -> None:
    book.heard([contact(1), contact(2, named=False)], Road.DHT, 0.0)
    for one, who in ((contact(1), peer(1)), (contact(2, named=False), peer(2))):
        book.answered(one, who, 0.0)
    linked = {peer(1), peer(2)}
    later = 2 * KEPT_S
    for moment in range(0, int(later), int(KEPT_S // 4)):
        assert book.due(float(moment), 9, linked=linked) == []
    assert book.next_due_s(later, linked=linked) is None
    assert len(book) == 2
    assert set(book.due(later, 9)) == {contact(1), contact(2, named=False)}


def test_one_teller_and_one_road_have_only_their_share(book: ContactBook) -> None:
    assert book.heard([contact(n) for n in range(1000)], Road.EXCHANGE, 0.0, teller=peer(1)) == MAX_PER_TELLER
    for teller in range(2, 100):
        told = [contact(1000 * teller + n) for n in range(100)]
        book.heard(told, Road.EXCHANGE, 0.0, teller=peer(teller))
    assert len(book) == PLACES[Road.EXCHANGE]
    assert book.heard([contact(1)], Road.CONFIGURED, 0.0) in (0, 1)
    assert contact(1) in book.due(0.0, 1)


def test_a_full_road_makes_room_only_where_nobody_ever_answered(book: ContactBook) -> None:
    full = [contact(n) for n in range(PLACES[Road.DHT])]
    book.heard(full, Road.DHT, 0.0)
    assert book.heard([contact(9_000)], Road.DHT, 1.0) == 0
    book.answered(full[0], peer(0), 1.0)
    book.failed(full[0], Failure.SILENT, 2.0)
    assert book.heard([contact(9_000)], Road.DHT, 2.0) == 0
    book.failed(full[1], Failure.SILENT, 2.0)
    assert book.heard([contact(9_000)], Road.DHT, 2.0) == 1
    left = {one.contact for one in book.known(2.0)}
    assert full[0] in left and full[1] not in left


def test_what_a_person_named_is_never_displaced(book: ContactBook) -> None:
    named = [contact(n) for n in range(PLACES[Road.CONFIGURED])]
    book.heard(named, Road.CONFIGURED, 0.0)
    for one in named:
        book.failed(one, Failure.SILENT, 0.0)
    assert book.heard([contact(9_000)], Road.CONFIGURED, 1.0) == 0
    assert {one.contact for one in book.known(1e9)} == set(named)


def test_a_false_peer_id_does_not_displace_the_true_one(book: ContactBook) -> None:
    true = contact(1)
    false = Contact(peer=peer(666), address=true.address)
    book.heard([true], Road.BOOTSTRAP, 0.0)
    book.heard([false], Road.EXCHANGE, 0.0, teller=peer(5))
    book.failed(false, Failure.SOMEONE_ELSE, 1.0)
    assert set(book.due(1.0, 9)) == {true}
    assert {one.contact for one in book.known(HEARSAY_S + 2)} == {true}


def test_strangers_words_are_forgotten_and_not_refreshed_by_being_repeated_while_they_fail(
    book: ContactBook,
) -> None:
    book.heard([contact(1)], Road.EXCHANGE, 0.0, teller=peer(5))
    book.failed(contact(1), Failure.SILENT, 0.0)
    book.heard([contact(1)], Road.EXCHANGE, 1.0, teller=peer(6))
    assert book.due(1.0, 9) == []
    book.heard([], Road.DHT, HEARSAY_S)
    assert len(book) == 0


def test_a_better_road_brings_a_contact_forward_and_its_end_takes_it_back(book: ContactBook) -> None:
    book.heard([contact(1)], Road.EXCHANGE, 0.0, teller=peer(5))
    book.failed(contact(1), Failure.SILENT, 0.0)
    book.heard([contact(1)], Road.LAN, 1.0)
    assert book.due(1.0, 9) == [contact(1)]
    assert book.known(1.0)[0].roads == (Road.LAN, Road.EXCHANGE)
    book.withdrawn(contact(1), Road.LAN)
    assert book.known(1.0)[0].roads == (Road.EXCHANGE,)
    book.withdrawn(contact(1), Road.EXCHANGE)
    assert len(book) == 0


def test_a_withdrawn_contact_that_answered_is_remembered(book: ContactBook) -> None:
    book.heard([contact(1)], Road.LAN, 0.0)
    book.answered(contact(1), peer(1), 0.0)
    book.withdrawn(contact(1), Road.LAN)
    assert [one.roads for one in book.known(1.0)] == [(Road.REMEMBERED,)]
    book.withdrawn(contact(2), Road.LAN)
    book.withdrawn(contact(1), Road.DHT)
    assert len(book) == 1


def test_who_answered_before_goes_before_who_is_only_heard_of(book: ContactBook) -> None:
    book.met([Met(contact=contact(1), age_s=60.0), Met(contact=contact(2), age_s=5.0)], 1.0)
    book.met([Met(contact=contact(3), age_s=KEPT_S + 1)], 1.0)
    assert book.due(1.0, 9) == [contact(2), contact(1)]
    assert [one.answered_s for one in book.known(1.0)] == [5.0, 60.0]


def test_trouble_is_told_once_for_each_reason_and_only_of_what_a_person_named(book: ContactBook) -> None:
    book.heard([contact(1)], Road.INVITED, 0.0)
    book.heard([contact(2)], Road.DHT, 0.0)
    first = book.failed(contact(1), Failure.OTHER_NETWORK, 0.0)
    assert first is not None and "is in another network" in str(first)
    assert book.failed(contact(1), Failure.OTHER_NETWORK, 1.0) is None
    assert "is someone else now" in str(book.failed(contact(1), Failure.SOMEONE_ELSE, 2.0))
    assert book.failed(contact(2), Failure.SILENT, 0.0) is None
    assert book.failed(contact(3), Failure.SILENT, 0.0) is None


def test_a_changed_network_ends_waits_but_not_mistakes(book: ContactBook) -> None:
    book.heard([contact(1), contact(2), contact(3)], Road.CONFIGURED, 0.0)
    book.failed(contact(1), Failure.SILENT, 0.0)
    book.failed(contact(2), Failure.NO_NETWORK, 0.0)
    book.failed(contact(3), Failure.OTHER_NETWORK, 0.0)
    book.network_changed(0.1)
    assert set(book.due(0.1, 9)) == {contact(1), contact(2)}


def test_why_nobody_can_be_reached_is_named(book: ContactBook) -> None:
    assert "no peer is known" in str(book.why_alone())
    book.heard([contact(1), contact(2)], Road.CONFIGURED, 0.0)
    assert book.why_alone() is None
    for one in (contact(1), contact(2)):
        book.failed(one, Failure.REFUSED, 0.0)
    assert "none of 2 known contacts" in str(book.why_alone())


def test_our_own_address_is_no_contact(book: ContactBook) -> None:
    assert book.heard([Contact(peer=OWN, address=Address("8.8.8.8", 1))], Road.LAN, 0.0) == 0


class BookMachine(RuleBasedStateMachine):
    """Any order of everything that can happen to a book."""

    def __init__(self) -> None:
        super().__init__()
        self.book = ContactBook(own=OWN, draw=random.Random(1))
        self.now = 0.0
        self.named: set[Contact] = set()

    numbers = st.integers(0, 30)

    @rule(numbers=st.lists(numbers, max_size=8), road=st.sampled_from(Road), teller=st.none() | numbers)
    def hear(self, numbers: list[int], road: Road, teller: int | None) -> None:
        contacts = [contact(one, named=one % 3 > 0) for one in numbers]
        self.book.heard(contacts, road, self.now, teller=None if teller is None else peer(teller))
        if road in (Road.CONFIGURED, Road.INVITED):
            self.named.update(contacts)

    @rule(number=numbers, by=numbers)
    def answer(self, number: int, by: int) -> None:
        self.book.answered(contact(number, named=number % 3 > 0), peer(by), self.now)

    @rule(number=numbers, why=st.sampled_from(Failure))
    def fail(self, number: int, why: Failure) -> None:
        self.book.failed(contact(number, named=number % 3 > 0), why, self.now)

    @rule(number=numbers, road=st.sampled_from([Road.LAN, Road.DHT, Road.EXCHANGE, Road.BOOTSTRAP]))
    def withdraw(self, number: int, road: Road) -> None:
        self.book.withdrawn(contact(number, named=number % 3 > 0), road)

    @rule(most=st.integers(0, 10), linked=st.frozensets(numbers, max_size=3))
    def try_some(self, most: int, linked: frozenset[int]) -> None:
        peers = {peer(one) for one in linked}
        handed = self.book.due(self.now, most, linked=peers)
        assert len(handed) <= most and len(set(handed)) == len(handed)
        assert all(one.peer not in peers for one in handed)
        assert not set(handed) & set(self.book.due(self.now, 1_000))

    @rule(seconds=st.sampled_from([0.5, 10.0, 100.0, HEARSAY_S, KEPT_S]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def change_network(self) -> None:
        self.book.network_changed(self.now)

    @invariant()
    def is_consistent(self) -> None:
        known = self.book.known(self.now)
        contacts = [one.contact for one in known]
        assert len(set(contacts)) == len(contacts) == len(self.book)
        assert self.named <= set(contacts)
        for one in known:
            assert one.roads == tuple(sorted(set(one.roads))) and one.roads
            assert one.contact.peer != OWN
            assert one.failures >= 0 and (one.answered_s is None or one.answered_s >= 0)
            if not set(one.roads) & KEPT:
                assert one.answered_s is None or one.answered_s < KEPT_S
        wait = self.book.next_due_s(self.now)
        assert (wait is None) == (not known)
        assert wait is None or wait >= 0
        assert known or self.book.why_alone() is not None


TestAnyOrder = BookMachine.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
