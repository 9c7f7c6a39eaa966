"""Who is let in: bounds in all and for each client, when to come back, and slices that people closed."""

from __future__ import annotations

from typing import cast

import pytest

from crypto.identity import PeerId
from node.admission import Admission
from node.hosting import HostedSlice
from node.manners.allowance import Refusal, Shares
from wire.codes import Code
from wire.types import SessionId

ONE, OTHER = PeerId(b"1" * 32), PeerId(b"2" * 32)


class Hands:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def held() -> HostedSlice:
    return cast("HostedSlice", object())


@pytest.mark.parametrize(
    ("clients", "code"),
    [
        ([], None),
        ([ONE, OTHER], None),
        ([ONE, ONE], Code.TOO_MANY_SESSIONS),
        ([OTHER, OTHER, OTHER], Code.TOO_MANY_SESSIONS),
    ],
)
def test_sessions_are_bounded_in_all_and_for_each_client(clients: list[PeerId], code: Code | None) -> None:
    door = Admission(max_sessions=3, shares=Shares(sessions=2))
    for number, client in enumerate(clients):
        door.entered(number, client)
    refusal = door.of_client(ONE)
    assert (refusal and refusal.code) == code
    for number, client in enumerate(clients):
        door.left(number, client)
    assert door.of_client(ONE) is None


def test_the_time_to_come_back_follows_how_long_sessions_last() -> None:
    clock = Hands()
    door = Admission(max_sessions=1, clock=clock)
    for number in range(8):
        door.entered(number, ONE)
        clock.now += 4.0
        door.left(number, ONE)
    door.entered("last", ONE)
    first, second = door.of_client(OTHER), door.of_client(OTHER)
    assert first is not None and second is not None
    assert (first.retry_after_ms, second.retry_after_ms) == (4_000, 8_000)


def test_a_peer_that_used_up_its_hour_is_ended_and_the_owner_is_not() -> None:
    door = Admission(shares=Shares(tokens_per_hour=1000), owner=OTHER, clock=Hands())
    for client in (ONE, OTHER):
        door.entered(client, client)
    assert door.computed(ONE, 1000, 0.1) is None
    refusal = door.computed(ONE, 200, 0.1)
    assert refusal is not None and refusal.code == Code.TOO_MANY_SESSIONS
    assert door.of_client(ONE) is not None
    assert door.computed(OTHER, 5000, 0.1) is None and door.of_client(OTHER) is None


def test_other_shares_hold_at_once() -> None:
    door = Admission(shares=Shares(sessions=1), clock=Hands())
    door.entered(1, ONE)
    assert door.of_client(ONE) is not None
    door.share(Shares(sessions=2))
    assert door.of_client(ONE) is None


def test_a_host_that_stops_lets_nobody_in() -> None:
    door = Admission()
    door.closed = True
    refusal = door.of_client(ONE)
    assert refusal is not None
    answer = refusal.of(SessionId(bytes(16)))
    assert (answer.code, answer.detail) == (Code.DRAINING, "this host is stopping and takes no new sessions")


def test_a_slice_is_refused_with_the_latest_code_until_it_is_admitted() -> None:
    door, one, other = Admission(), held(), held()
    door.refuse(one, Code.DRAINING)
    door.refuse(one, Code.SHUTTING_DOWN)
    assert not door.takes(one) and door.takes(other)
    assert door.of_slice(one) == Refusal(Code.SHUTTING_DOWN, "the host is stopping")
    assert door.of_slice(other) is None
    door.admit(one)
    assert door.takes(one) and door.of_slice(one) is None
