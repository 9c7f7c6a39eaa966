"""Whom a search asks, when it ends, and what liars can make it do."""

from __future__ import annotations

from collections.abc import Sequence

from node.dht.crawl import Question, Rules, Search, State
from tests.fakes.records import identity, lifetime, signed, slice_record
from wire import limits
from wire.dht_messages import Found
from wire.endpoints import NodeContact, NodeId
from wire.records import Record
from wire.types import Address

KEY = NodeId(bytes(20))
OWN = NodeId(b"\xff" * 20)
HERE = Address("8.8.8.8", 1)


def contact(distance: int, ip: str | None = None) -> NodeContact:
    """A node at some distance from the key, in a network of its own."""
    return NodeContact(
        NodeId(distance.to_bytes(20, "big")),
        Address(ip or f"20.{distance >> 8 & 255}.{distance & 255}.1", 7311),
    )


def found(
    contacts: Sequence[NodeContact] = (), total: int = 0, following: int | None = None, records: int = 0
) -> Found:
    return Found(
        observed=HERE,
        token=bytes(8),
        total=total,
        next=following,
        contacts=tuple(contacts),
        records=(b"record",) * records,
    )


def pairs(*numbers: int, sequence: int = 1) -> list[tuple[bytes, Record]]:
    return [(signed(n), slice_record(identity(n), lifetime=lifetime(sequence=sequence))) for n in numbers]


def search(*start: NodeContact, rules: Rules | None = None) -> Search:
    return Search(KEY, start, rules or Rules(OWN))


def asked(questions: Sequence[Question]) -> list[int]:
    return [int.from_bytes(one.candidate.id, "big") for one in questions]


def test_four_are_asked_at_a_time_the_nearest_first() -> None:
    one = search(*(contact(number) for number in range(1, 21)))
    questions = one.questions()
    assert len(questions) == limits.SEARCH_IN_FLIGHT
    assert {1, 2} <= set(asked(questions))
    assert one.questions() == []
    one.answered(questions[0].candidate, found(), [])
    assert len(one.questions()) == 1


def test_a_slow_one_gives_its_place_away_and_still_counts() -> None:
    one = search(*(contact(number) for number in range(1, 21)))
    slow = one.questions()[0].candidate
    one.slow(slow)
    assert len(one.questions()) == 1
    one.answered(slow, found(), pairs(1))
    assert len(one.records) == 1
    assert slow in one.nearest


def test_it_ends_when_the_nearest_have_answered_and_nobody_nearer_is_left() -> None:
    one = search(*(contact(number) for number in range(1, 41)))
    answers = 0
    while not one.done:
        for question in one.questions():
            one.answered(question.candidate, found(), [])
            answers += 1
    assert limits.SEARCH_WIDTH <= answers <= limits.SEARCH_WIDTH + 8
    assert asked_ids(one)[: limits.SEARCH_WIDTH] == list(range(1, limits.SEARCH_WIDTH + 1))


def asked_ids(one: Search) -> list[int]:
    return [int.from_bytes(candidate.id, "big") for candidate in one.nearest]


def test_it_widens_when_few_know_what_was_found() -> None:
    one = search(*(contact(number) for number in range(1, 41)))
    while not one.done:
        for question in one.questions():
            far = int.from_bytes(question.candidate.id, "big") == 9
            one.answered(
                question.candidate, found(total=1 if far else 0, records=far), pairs(1) if far else []
            )
    assert len(one.nearest) >= limits.MAX_SEARCH_WIDTH


def test_without_anybody_it_ends_at_once() -> None:
    assert search().done
    assert search(NodeContact(OWN, HERE)).done


def test_all_dead_ends_it() -> None:
    one = search(*(contact(number) for number in range(1, 9)))
    while not one.done:
        for question in one.questions():
            one.slow(question.candidate)
        waiting = [candidate for candidate in one._in_flight if candidate.state is State.ASKED]
        if len(waiting) == 8:
            for candidate in waiting:
                one.failed(candidate)
    assert one.nearest == []
    assert one.tally.requests == 8


def test_the_newest_record_of_a_place_counts() -> None:
    one = search(*(contact(number) for number in range(1, 5)))
    first, second, *_ = one.questions()
    one.answered(first.candidate, found(total=1, records=1), pairs(1, sequence=2))
    one.answered(second.candidate, found(total=1, records=1), pairs(1, sequence=1))
    ((_, record),) = one.records.values()
    assert record.lifetime.sequence == 2
    assert len(one.fresh()) == 1
    assert one.fresh() == []


def test_one_that_holds_more_is_asked_for_further_pages() -> None:
    one = search(contact(1))
    (question,) = one.questions()
    one.answered(question.candidate, found(total=6, following=1000, records=2), pairs(1, 2))
    (page,) = one.questions()
    assert (page.cursor, page.contacts, page.records) == (1000, False, True)
    one.answered(page.candidate, found(total=6, following=2000, records=2), pairs(3, 4))
    (page,) = one.questions()
    assert page.cursor == 2000
    one.answered(page.candidate, found(total=6, records=2), pairs(5, 6))
    assert one.done
    assert one.crowd() == 6


def test_one_that_claims_much_and_shows_nothing_is_not_asked_for_ever() -> None:
    one = search(contact(1))
    cursor = 0
    while not one.done:
        for question in one.questions():
            cursor = question.cursor + 1
            one.answered(question.candidate, found(total=20_000, following=cursor, records=1), pairs(1))
    assert one.tally.requests < 20


def test_a_promised_page_is_waited_for_and_a_dead_node_is_not() -> None:
    one = search(*(contact(number) for number in range(1, 6)))
    for question in one.questions():
        one.answered(question.candidate, found(total=2, following=5, records=1), pairs(1))
    while True:
        questions = one.questions()
        if not questions:
            break
        for question in questions:
            one.slow(question.candidate)
    assert one.questions() == []
    before = one.done
    for candidate in list(one._in_flight):
        if candidate.state is State.ANSWERED:
            one.answered(candidate, found(total=2, records=1), pairs(2))
    assert (before, one.done) == (False, True)
    assert len(one._in_flight) == 1


def test_a_network_is_asked_a_few_times_and_a_local_one_as_often_as_needed() -> None:
    far = search(*(contact(number, f"8.8.8.{number}") for number in range(1, 30)))
    near = search(*(contact(number, f"192.168.1.{number}") for number in range(1, 30)))
    for one in (far, near):
        while not one.done:
            for question in one.questions():
                one.answered(question.candidate, found(), [])
    assert len(far.nearest) == limits.SEARCH_CONTACTS_PER_NETWORK
    assert len(near.nearest) >= limits.SEARCH_WIDTH


def test_who_invents_nodes_is_not_asked_about_more_of_them() -> None:
    liar, *honest = (contact(0x1000 * number) for number in range(1, 20))
    one = search(liar, *honest)
    invented = 0
    while not one.done:
        for question in one.questions():
            number = int.from_bytes(question.candidate.id, "big")
            if number < 0x1000:
                invented += 1
                one.slow(question.candidate)
                one.failed(question.candidate)
            elif question.candidate.contact == liar:
                one.answered(question.candidate, found([contact(near) for near in range(1, 21)]), [])
            else:
                one.answered(question.candidate, found(), [])
    assert invented <= 6
    assert len(one.nearest) >= limits.SEARCH_WIDTH


def test_contacts_that_cannot_be_used_are_left_out() -> None:
    rules = Rules(OWN, usable=lambda one: one.address.ip != "20.0.2.1")
    one = search(contact(1), rules=rules)
    (question,) = one.questions()
    inward = NodeContact(NodeId(b"\x01" + bytes(19)), Address("192.168.1.1", 1))
    one.answered(question.candidate, found([contact(2), contact(3), inward, NodeContact(OWN, HERE)]), [])
    assert asked(one.questions()) == [3]


def test_a_liar_is_no_longer_among_those_that_answered() -> None:
    one = search(contact(1), contact(2))
    first, second = one.questions()
    one.answered(first.candidate, found(), [])
    one.failed(first.candidate, lied=True)
    one.failed(second.candidate, lied=True)
    assert one.nearest == []
    assert one.done


def test_requests_are_bounded_whatever_is_told() -> None:
    one = search(contact(1 << 100))
    told = 1 << 90
    while not one.done:
        for question in one.questions():
            told -= 1000
            one.answered(question.candidate, found([contact(told - step) for step in range(20)]), [])
    assert one.tally.requests <= limits.MAX_SEARCH_REQUESTS


def test_each_path_has_its_turn() -> None:
    one = search(*(contact(1 << number) for number in range(1, 10)))
    paths = set()
    for _ in range(3):
        for question in one.questions():
            paths.add(question.candidate.path)
            one.answered(question.candidate, found([contact(question.candidate.path + 100)]), [])
    assert paths == {0, 1, 2}


def test_what_is_here_already_is_told_first() -> None:
    one = search()
    one.add_own(pairs(1, 2))
    assert len(one.fresh()) == 2
    assert one.done
