"""The table of legal orders: judged as data, then against a connection, for every pair of state and input."""

from __future__ import annotations

import pytest

from tests.fakes.joined import Joined, slip, slip_raw, small
from wire import limits
from wire.cbor import dumps
from wire.codes import Code
from wire.connection import Connection
from wire.connection_table import TABLE, Input, State
from wire.errors import IllegalState
from wire.events import Closed
from wire.messages.base import Message
from wire.messages.link import Ack, Goodbye, Hello, Ping, Pong, Unsupported


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


STATES: dict[State, str] = {
    State.AWAIT_FIRST: "responder",
    State.AWAIT_SECOND: "initiator",
    State.AWAIT_THIRD: "responder",
    State.ESTABLISHED: "initiator",
    State.CLOSED: "initiator",
}


def in_state(state: State) -> tuple[Joined, Connection]:
    """A pair with one side in a state, and that side."""
    if state in (State.ESTABLISHED, State.CLOSED):
        pair = Joined.established()
        if state is State.CLOSED:
            pair.initiator.close(Code.SHUTTING_DOWN, now=pair.now)
            pair.initiator.events()
        return pair, pair.initiator
    pair = Joined()
    if state is State.AWAIT_THIRD:
        pair.move(pair.initiator)
    return pair, pair.ends(STATES[state])[0]


def apply(pair: Joined, side: Connection, what: Input) -> None:
    """Make an input happen to a side."""
    messages: dict[Input, Message] = {
        Input.MESSAGE: small(),
        Input.HELLO: Hello(version=1, identity=bytes(32), signature=bytes(64), agent="", features=()),
        Input.PING: Ping(nonce=1),
        Input.PONG: Pong(nonce=0),
        Input.ACK: Ack(count=0),
        Input.UNSUPPORTED: Unsupported(id=1),
        Input.GOODBYE: Goodbye(code=1, detail=""),
    }
    if what in messages or what is Input.UNKNOWN:
        if what is Input.PONG and side.state is State.ESTABLISHED:
            pair.cut[side] = True
            pair.wait(limits.PING_INTERVAL_S + 0.01)
        if side.state in (State.ESTABLISHED, State.CLOSED):
            if what is Input.UNKNOWN:
                slip_raw(pair.other(side), dumps({"t": 999}))
            else:
                slip(pair.other(side), messages[what])
            pair.move(pair.other(side))
        else:
            # Before there are keys a message can only be bytes that are not a handshake's.
            side.receive_data(b"\x00\x40" + bytes(64), now=pair.now)
    elif what is Input.VIOLATION:
        side.receive_data(b"\x00\x00", now=pair.now)
    elif what is Input.EOF:
        side.receive_eof(now=pair.now)
    elif what is Input.TIMEOUT:
        pair.wait(60.0, moving=False)
    elif what is Input.CLOSE:
        side.close(Code.SHUTTING_DOWN, now=pair.now)
    elif what is Input.SEND:
        side.send(small(), now=pair.now)
    else:
        pair.exchange()


@pytest.mark.parametrize("what", [what for what in Input if what is not Input.HANDSHAKE])
@pytest.mark.parametrize("state", State)
def test_every_input_in_every_state_leads_where_the_table_says_or_ends_it(state: State, what: Input) -> None:
    pair, side = in_state(state)
    target = TABLE.get((state, what))
    if what is Input.SEND and target is None:
        with pytest.raises(IllegalState):
            apply(pair, side, what)
        assert side.state is state
        return
    apply(pair, side, what)
    assert side.state is (target or State.CLOSED)
    endings = [event for event in pair.take(side) if isinstance(event, Closed)]
    assert len(endings) == (side.state is State.CLOSED and state is not State.CLOSED)


@pytest.mark.parametrize("state", [State.AWAIT_FIRST, State.AWAIT_SECOND, State.AWAIT_THIRD])
def test_a_handshake_message_leads_on(state: State) -> None:
    pair, side = in_state(state)
    if state is State.AWAIT_FIRST:
        pair.move(pair.initiator)
        assert side.state is TABLE[state, Input.HANDSHAKE]
    pair.exchange()
    assert side.state is State.ESTABLISHED
