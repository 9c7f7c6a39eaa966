"""One contact's life: waits that grow, answers that are remembered, strangers' words that are forgotten."""

from __future__ import annotations

import pytest

from crypto.identity import PeerId
from node.discovery.entries import (
    AGAIN_S,
    FIRST_NEAR_WAIT_S,
    FIRST_WAIT_S,
    HEARSAY_S,
    KEPT_S,
    LONGEST_NEAR_WAIT_S,
    LONGEST_WAIT_S,
    MISTAKEN_WAIT_S,
    NO_NETWORK_WAIT_S,
    Entry,
    Failure,
    Road,
)
from wire.contacts import Contact

PEER = PeerId(bytes(32))


def entry(*roads: Road) -> Entry:
    return Entry(contact=Contact.parse("8.8.8.8:1"), heard=0.0, due=0.0, roads=set(roads))


@pytest.mark.parametrize(
    ("road", "first", "longest"),
    [
        (Road.CONFIGURED, FIRST_NEAR_WAIT_S, LONGEST_NEAR_WAIT_S),
        (Road.LAN, FIRST_NEAR_WAIT_S, LONGEST_NEAR_WAIT_S),
        (Road.DHT, FIRST_WAIT_S, LONGEST_WAIT_S),
    ],
)
def test_waits_double_up_to_the_longest(road: Road, first: float, longest: float) -> None:
    one = entry(road)
    waits = []
    for _ in range(50):
        one.fail(Failure.SILENT, 0.0, 1.0)
        waits.append(one.due)
    assert waits[:3] == [first, 2 * first, 4 * first]
    assert waits == sorted(waits)
    assert waits[-1] == longest


def test_an_answer_ends_the_waiting() -> None:
    one = entry(Road.DHT)
    one.fail(Failure.SILENT, 0.0, 1.0)
    one.answer(PEER, 10.0)
    assert (one.failures, one.failure, one.due, one.peer) == (0, None, 10.0 + AGAIN_S, PEER)


def test_our_own_lack_of_a_network_is_nobodys_failure() -> None:
    one = entry(Road.DHT)
    one.fail(Failure.NO_NETWORK, 0.0, 1.0)
    assert (one.failures, one.due) == (0, NO_NETWORK_WAIT_S)


def test_who_is_someone_else_now_loses_what_was_answered_before() -> None:
    one = entry(Road.DHT)
    one.answer(PEER, 5.0)
    one.fail(Failure.SOMEONE_ELSE, 10.0, 1.0)
    assert one.answered is None and one.due == 10.0 + MISTAKEN_WAIT_S
    assert not one.over(10.0 + HEARSAY_S - 1) and one.over(10.0 + HEARSAY_S)


def test_a_strangers_word_is_kept_for_an_hour_and_an_answer_for_two_weeks() -> None:
    heard, met = entry(Road.EXCHANGE), entry(Road.EXCHANGE)
    met.answer(PEER, 0.0)
    assert not heard.over(HEARSAY_S - 1) and heard.over(HEARSAY_S)
    assert not met.over(KEPT_S - 1) and met.over(KEPT_S)


@pytest.mark.parametrize("road", [Road.CONFIGURED, Road.INVITED, Road.LAN, Road.BOOTSTRAP])
def test_what_says_itself_when_it_is_over_is_never_forgotten(road: Road) -> None:
    assert not entry(road, Road.EXCHANGE).over(1e12)


def test_fewer_failures_and_later_answers_go_first() -> None:
    never, met, failing = entry(Road.DHT), entry(Road.DHT), entry(Road.DHT)
    met.answer(PEER, 1.0)
    failing.answer(PEER, 2.0)
    failing.fail(Failure.SILENT, 3.0, 1.0)
    assert sorted([failing, never, met], key=lambda one: one.rank) == [met, never, failing]
