"""Sessions are found by the names others have for them, and only for as long as they are held."""

from __future__ import annotations

from typing import cast

from node.hosting import HostedSlice
from node.running import Running
from node.sessions import Sessions
from tests.fakes.serving import ALICE, BOB, NEXT, FakeLink, opening, passing
from wire.codes import Code
from wire.messages.session import Open
from wire.session import HostedSession

FRONT, TAIL = cast(HostedSlice, "front"), cast(HostedSlice, "tail")


def running(opened: Open, held: HostedSlice = TAIL) -> Running:
    return Running(HostedSession(opened, client=ALICE, hidden_size=4, now=0.0), FakeLink(ALICE), held)


def test_a_session_is_found_by_its_client_and_by_its_next_hop() -> None:
    sessions, run = Sessions(), running(passing(1), FRONT)
    sessions.add(run)
    opened = run.machine.opened
    assert sessions.called(opened.session) is run
    assert opened.next_session is not None
    assert sessions.ahead(NEXT, opened.next_session) is run
    assert sessions.ahead(BOB, opened.next_session) is None
    assert [sessions.needs(peer) for peer in (ALICE, NEXT, BOB)] == [True, True, False]
    assert sessions.remove(run) and not sessions.remove(run)
    assert sessions.called(opened.session) is None and sessions.ahead(NEXT, opened.next_session) is None
    assert not sessions.needs(ALICE) and len(sessions) == 0


def test_ids_in_use_are_refused_and_free_again_when_their_session_is_over() -> None:
    sessions, run = Sessions(), running(passing(1))
    sessions.add(run)
    for again in (opening(1), passing(2, next_session=run.machine.opened.next_session)):
        refusal = sessions.refusal(again)
        assert refusal is not None and refusal.code == Code.DUPLICATE_SESSION
    sessions.remove(run)
    assert sessions.refusal(opening(1)) is None


def test_what_came_after_under_the_same_id_is_not_taken_away_by_what_went_before() -> None:
    sessions, first, second = Sessions(), running(opening(1)), running(opening(1))
    sessions.add(first)
    sessions.remove(first)
    sessions.add(second)
    assert not sessions.remove(first)
    assert sessions.called(second.id) is second


def test_sessions_are_told_apart_by_their_slices() -> None:
    sessions, one, other = Sessions(), running(opening(1), FRONT), running(opening(2), TAIL)
    for run in (one, other):
        sessions.add(run)
    assert sessions.on(FRONT) == [one] and sessions.on(TAIL) == [other]
    assert sessions.on(None) == [one, other] == list(sessions.all())
    assert sessions.counts() == {id(FRONT): 1, id(TAIL): 1}
