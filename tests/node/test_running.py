"""A session is its own key, not equal to another of the same id."""

from __future__ import annotations

from typing import cast

from node.hosting import HostedSlice
from node.running import BETWEEN_STEPS_S, Running
from tests.fakes.serving import ALICE, FakeLink, opening
from wire.session import HostedSession


def running() -> Running:
    machine = HostedSession(opening(1), client=ALICE, hidden_size=4, now=0.0)
    return Running(machine, FakeLink(ALICE), cast(HostedSlice, None))


def test_two_sessions_of_one_id_are_held_apart() -> None:
    first, second = running(), running()
    assert first.id == second.id
    assert {first: 1, second: 2}[first] == 1


def test_nothing_is_under_way_at_first() -> None:
    fresh = running()
    assert not fresh.busy and not fresh.work and not fresh.ended and fresh.job is None


def test_an_answer_may_go_on_long_after_its_host_has_nothing_to_do_for_it() -> None:
    run = running()

    def found() -> tuple[bool, bool]:
        return run.is_active, run.may_go_on

    assert found() == (True, True)
    # As long as the other hops of a chain may take.
    run.last_step_s -= 10.0
    assert found() == (False, True)
    run.last_step_s -= BETWEEN_STEPS_S
    assert found() == (False, False)
    run.busy = True
    assert found() == (True, True)
