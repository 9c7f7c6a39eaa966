"""The table of legal orders, judged as data."""

from __future__ import annotations

import pytest

from node.lifecycle.table import AT_REST, COMMANDS, FINISHING, FREE, FREEING, TABLE, Input, State

ENDED = {State.CLOSING, State.ENDING, State.CLOSED}


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_or_is_where_a_slice_begins(state: State) -> None:
    assert state in {State.LEFT, *TABLE.values()}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", [Input.CLOSE, Input.HALT])
def test_a_signal_is_taken_in_every_state_and_leads_to_the_end(state: State, signal: Input) -> None:
    assert TABLE[state, signal] in ENDED
    if signal is Input.HALT:
        assert TABLE[state, signal] in (State.ENDING, State.CLOSED)


def test_a_process_that_ends_takes_no_command_and_goes_nowhere_else() -> None:
    for (state, what), target in TABLE.items():
        if state in ENDED:
            assert what not in COMMANDS
            assert target in ENDED


@pytest.mark.parametrize("state", [State.DRAINING, State.STOPPING, State.STOPPED])
def test_what_was_drained_serves_again_by_undraining_and_by_nothing_else(state: State) -> None:
    back = {State.SERVING, State.LOADING, State.RENEWING}
    assert [what for what in Input if TABLE.get((state, what)) in back] == [Input.UNDRAIN]


@pytest.mark.parametrize("state", [State.LEFT, State.LEAVING, State.CLEARING])
def test_what_was_left_serves_again_by_joining_and_by_nothing_else(state: State) -> None:
    back = {State.SERVING, State.LOADING, State.RENEWING}
    assert [what for what in Input if TABLE.get((state, what)) in back] == [Input.JOIN]


@pytest.mark.parametrize("state", sorted(FINISHING, key=str))
def test_sessions_that_finish_end_in_freeing_whether_they_end_or_time_does(state: State) -> None:
    assert TABLE[state, Input.IDLE] is TABLE[state, Input.DEADLINE]
    assert TABLE[state, Input.IDLE] in FREEING


def test_memory_that_was_taken_is_free_only_after_freeing_it_or_a_load_that_failed() -> None:
    ways = {(state, what) for (state, what), target in TABLE.items() if target in FREE and state not in FREE}
    assert ways == {(State.LOADING, Input.LOAD_FAILED)} | {
        (state, Input.FREED) for state in FREEING - {State.RENEWING}
    }


def test_whatever_is_not_at_rest_goes_on_by_the_hosts_own_doing() -> None:
    for state in State:
        own = {what for what in Input if (state, what) in TABLE} - COMMANDS - {Input.CLOSE, Input.HALT}
        assert bool(own) == (state not in AT_REST)


def test_pausing_changes_no_state() -> None:
    pauses = {one: target for one, target in TABLE.items() if one[1] in (Input.PAUSE, Input.RESUME)}
    assert pauses
    assert all(state is target for (state, _), target in pauses.items())
