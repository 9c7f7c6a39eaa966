"""Every illegal pair of state and input, on the host and at the client."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import pytest

from tests.fakes import hop_session as client
from tests.fakes.lone_session import MIDDLE, assert_ended, cut, feed, step
from tests.fakes.session_chain import CLIENT as PERSON
from tests.fakes.session_chain import SESSIONS
from wire.client_session import HopEnded, HopSession
from wire.codes import Code
from wire.errors import IllegalState
from wire.messages.base import Message
from wire.messages.forward import Credit
from wire.messages.session import Abort, Close, Ready, Refused
from wire.session import CutRequested, HostedSession
from wire.session_table import CLIENT, HOST, ClientInput, ClientState, HostInput, HostState

HOST_COMMANDS: dict[HostInput, Callable[[HostedSession], None]] = {
    HostInput.ACCEPT: HostedSession.accept,
    HostInput.REFUSE: lambda machine: machine.refuse(Code.DRAINING, ""),
    HostInput.CUT_DONE: lambda machine: machine.cut_done(CutRequested(0, 0), 0),
    HostInput.DELIVER: lambda machine: machine.deliver(step(0), step(0, hop=2)),
    HostInput.FAIL: lambda machine: machine.fail(Code.COMPUTE_FAILED, ""),
}
HARMLESS = {
    *((state, HostInput.DELIVER) for state in HostState),
    (HostState.CLOSED, HostInput.CUT_DONE),
    (HostState.CLOSED, HostInput.FAIL),
}
"""Work that was under way when the session was cut or ended: illegal, but nobody's error, so nothing happens."""


def hosted(state: HostState) -> HostedSession:
    """A host's session in this state, with nothing left to drain."""
    machine = HostedSession(MIDDLE, client=PERSON, hidden_size=1, now=0.0)
    if state is not HostState.OPENING:
        machine.accept()
    if state is HostState.CUTTING:
        feed(machine, cut(0, next_step=0))
    if state is HostState.CLOSED:
        feed(machine, Close(session=SESSIONS[1]))
    machine.events()
    machine.messages_to_send()
    assert machine.state is state
    return machine


HOST_MESSAGES: dict[HostInput, Message] = {
    HostInput.FORWARD: step(0),
    HostInput.TRUNCATE: cut(0, next_step=0),
    HostInput.CREDIT: Credit(session=SESSIONS[2], epoch=0, step=0),
    HostInput.CLOSE: Close(session=SESSIONS[1]),
    HostInput.ABORT: Abort(session=SESSIONS[2], code=1, detail=""),
}
CLIENT_MESSAGES: dict[ClientInput, Message] = {
    ClientInput.READY: Ready(session=SESSIONS[2]),
    ClientInput.REFUSED: Refused(session=SESSIONS[2], code=Code.DRAINING, detail=""),
    ClientInput.TOKENS: client.tokens(0),
    ClientInput.OUTPUT: client.output(0),
    ClientInput.CREDIT: client.credit(0),
    ClientInput.TRUNCATED: client.truncated(0),
    ClientInput.ABORT: Abort(session=SESSIONS[2], code=1, detail=""),
}
CLIENT_COMMANDS: dict[ClientInput, Callable[[HopSession], None]] = {
    ClientInput.SEND_FORWARD: lambda hop: hop.announce(client.step(0, epoch=hop.epoch), send=True),
    ClientInput.SEND_TRUNCATE: lambda hop: hop.truncate(0),
    ClientInput.SEND_CLOSE: HopSession.close,
    ClientInput.FAIL: lambda hop: hop.fail(Code.CONNECTION_LOST, ""),
}


def named(one: object) -> str | None:
    return one.name.lower() if isinstance(one, Enum) else None


def pairs(table: object, states: type[Enum], inputs: object, *, legal: bool) -> list[tuple[Enum, Enum]]:
    """The pairs of these inputs with open states that are, or are not, in the table."""
    return [
        (state, kind)
        for state in states
        for kind in inputs  # type: ignore[attr-defined]  # an enumeration of either side
        # The table of either side.
        if state.name != "CLOSED" and ((state, kind) in table) == legal  # type: ignore[operator]
    ]


@pytest.mark.parametrize(("state", "kind"), pairs(HOST, HostState, HOST_MESSAGES, legal=False), ids=named)
def test_a_message_the_state_forbids_ends_a_hosts_session(state: HostState, kind: HostInput) -> None:
    machine = hosted(state)
    feed(machine, HOST_MESSAGES[kind])
    assert_ended(machine, Code.PROTOCOL)


@pytest.mark.parametrize("kind", HOST_MESSAGES, ids=named)
def test_a_hosts_closed_session_ignores_every_message(kind: HostInput) -> None:
    machine = hosted(HostState.CLOSED)
    feed(machine, HOST_MESSAGES[kind])
    assert (machine.events(), machine.messages_to_send()) == ([], [])


@pytest.mark.parametrize("state", HostState, ids=named)
@pytest.mark.parametrize("kind", HOST_COMMANDS, ids=named)
def test_a_command_the_state_forbids_is_the_hosts_own_error(state: HostState, kind: HostInput) -> None:
    machine = hosted(state)
    if (state, kind) in HARMLESS and (state, kind) not in HOST:
        HOST_COMMANDS[kind](machine)
        assert (machine.state, machine.events(), machine.messages_to_send()) == (state, [], [])
    elif (state, kind) not in HOST:
        with pytest.raises(IllegalState, match=kind.value):
            HOST_COMMANDS[kind](machine)
        assert machine.state is state


@pytest.mark.parametrize(
    ("state", "kind"), pairs(CLIENT, ClientState, CLIENT_MESSAGES, legal=False), ids=named
)
def test_a_message_the_state_forbids_ends_the_clients_session(state: ClientState, kind: ClientInput) -> None:
    hop = client.entered(state)
    hop.receive(CLIENT_MESSAGES[kind])
    (ended,) = hop.events()
    assert isinstance(ended, HopEnded)
    assert ended.code is Code.PROTOCOL
    assert hop.messages_to_send() == [Close(session=SESSIONS[2])]


@pytest.mark.parametrize("kind", CLIENT_MESSAGES, ids=named)
def test_the_clients_closed_session_ignores_every_message(kind: ClientInput) -> None:
    hop = client.entered(ClientState.CLOSED)
    hop.receive(CLIENT_MESSAGES[kind])
    assert (hop.events(), hop.messages_to_send()) == ([], [])


@pytest.mark.parametrize("state", ClientState, ids=named)
@pytest.mark.parametrize("kind", CLIENT_COMMANDS, ids=named)
def test_a_command_the_state_forbids_is_the_clients_own_error(state: ClientState, kind: ClientInput) -> None:
    hop = client.entered(state)
    if (state, kind) in CLIENT:
        CLIENT_COMMANDS[kind](hop)
        assert hop.state is CLIENT[state, kind]
    elif kind in (ClientInput.SEND_CLOSE, ClientInput.FAIL):
        CLIENT_COMMANDS[kind](hop)  # ending what has ended does nothing
        assert (hop.events(), hop.messages_to_send()) == ([], [])
    else:
        with pytest.raises(IllegalState, match=kind.value):
            CLIENT_COMMANDS[kind](hop)


def test_every_input_is_tried() -> None:
    assert {*HOST_MESSAGES, *HOST_COMMANDS} == set(HostInput)
    assert {*CLIENT_MESSAGES, *CLIENT_COMMANDS} == set(ClientInput)


def test_nothing_leads_out_of_closed_and_everything_open_can_close() -> None:
    assert all(state.name != "CLOSED" for state, _ in (*HOST, *CLIENT))
    for state in HostState:
        assert state is HostState.CLOSED or HOST[state, HostInput.CLOSE] is HostState.CLOSED
    for one in ClientState:
        assert one is ClientState.CLOSED or CLIENT[one, ClientInput.SEND_CLOSE] is ClientState.CLOSED
