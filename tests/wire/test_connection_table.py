"""The table of legal orders, judged as data."""

from __future__ import annotations

import pytest

from wire.connection_table import TABLE, Input, State


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_or_is_where_a_side_starts(state: State) -> None:
    starts = {State.AWAIT_FIRST, State.AWAIT_SECOND}
    assert state in starts | set(TABLE.values())


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
@pytest.mark.parametrize("what", [Input.VIOLATION, Input.EOF, Input.TIMEOUT, Input.CLOSE])
def test_everything_that_ends_a_connection_ends_it_in_every_state(state: State, what: Input) -> None:
    assert TABLE[state, what] is State.CLOSED


def test_nothing_leaves_closed() -> None:
    assert {target for (state, _), target in TABLE.items() if state is State.CLOSED} == {State.CLOSED}


@pytest.mark.parametrize(
    "what", [Input.SEND, Input.MESSAGE, Input.PING, Input.PONG, Input.ACK, Input.GOODBYE]
)
def test_messages_pass_only_when_established(what: Input) -> None:
    assert [state for state in State if (state, what) in TABLE] == [State.ESTABLISHED]


def test_a_second_hello_is_legal_nowhere() -> None:
    assert not [state for state in State if (state, Input.HELLO) in TABLE]
