"""A host's session alone against every wrong input, and three of them in a chain under any order of events."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.identity import PeerId
from tests.fakes.session_chain import CLIENT, HOPS, PEERS, SESSIONS, ChainOfThree, opens, tensor
from wire import limits
from wire.codes import Code
from wire.errors import BadMessage, IllegalState
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, HopTime, Output, Phase, Tokens
from wire.messages.link import Ping
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncate, Truncated
from wire.session import CutRequested, Ended, HostedSession, StepArrived, To, check_open
from wire.session_table import HOST, HostInput, HostState
from wire.tensors import DType
from wire.types import Address, Sampling, SessionId

STRANGER = PeerId(bytes([77]) * 32)
WINDOW = limits.SESSION_WINDOW_STEPS
MIDDLE, TAIL = opens()[1], opens()[2]


def step(
    number: int, *, position: int | None = None, count: int = 1, epoch: int = 0, hop: int = 1
) -> Forward:
    """Step `number` of a session in which every step before it was one token."""
    return Forward(
        session=SESSIONS[hop],
        epoch=epoch,
        step=number,
        position=number if position is None else position,
        phase=Phase.DECODE,
        sample=True,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, 1),
        trace=(),
        body=tensor([0] * count),
    )


def tokens(forward: Forward) -> Tokens:
    end = forward.position + forward.count
    return Tokens(
        session=SESSIONS[2], epoch=forward.epoch, step=forward.step, position=end, ids=(5,), trace=()
    )


def opened(request: Open = MIDDLE) -> HostedSession:
    machine = HostedSession(request, client=CLIENT, hidden_size=1, now=0.0)
    machine.accept()
    assert machine.messages_to_send() == [(To.CLIENT, Ready(session=request.session))]
    return machine


def feed(machine: HostedSession, *messages: Message, now: float = 1.0) -> None:
    """Give messages to a machine, each from whoever may send it."""
    for message in messages:
        match message:
            case Forward():
                sender = machine.opened.upstream
            case Credit() | Abort():
                sender = machine.peer(To.NEXT)
            case _:
                sender = CLIENT
        assert machine.receive(message, sender=sender, now=now)


def compute(machine: HostedSession) -> int:
    """Compute everything announced, as a host does; returns how many steps that was."""
    done = 0
    for event in machine.events():
        if isinstance(event, StepArrived):
            result = replace(event.forward, session=SESSIONS[2])
            machine.deliver(
                event.forward, result if machine.opened.delivery is Delivery.NEXT else tokens(event.forward)
            )
            done += 1
        elif isinstance(event, CutRequested):
            machine.cut_done(event, event.position)
    return done


def assert_ended(machine: HostedSession, code: Code) -> None:
    """The session ended with `code`, the client is told, and nothing is left to do."""
    assert machine.state is HostState.CLOSED
    (event,) = machine.events()
    assert isinstance(event, Ended)
    assert event.code is code
    told = [message for to, message in machine.messages_to_send() if to is To.CLIENT]
    assert isinstance(told[-1], Abort | Refused)
    assert told[-1].code == code
    assert machine.next_timeout() is None


# In a chain


def drive(chain: ChainOfThree, choices: bytes) -> None:
    """Let the choices, two bytes each, decide what happens next, among all that could."""
    for (choice,) in struct.iter_unpack("<H", choices[: len(choices) // 2 * 2]):
        kind, rest = choice % 16, choice // 16
        moves = chain.moves()
        if kind == 0 and chain.open and not chain.ended:
            chain.truncate(rest % (chain.answered + 1))
        elif kind == 1:
            chain.repeat(rest % HOPS, rest // HOPS)
        elif kind <= 6 and chain.may_send(1 + rest % 4):
            chain.send(1 + rest % 4, sample=bool(rest % 2))
        elif moves:
            moves[rest % len(moves)]()


CHOICES = st.binary(min_size=100, max_size=500)


@settings(max_examples=120, deadline=None)
@given(CHOICES, st.sampled_from([Delivery.TOKENS, Delivery.HIDDEN]))
def test_a_chain_answers_every_step_in_order_whatever_the_order_of_events(
    choices: bytes, delivery: Delivery
) -> None:
    chain = ChainOfThree(delivery)
    drive(chain, choices)
    chain.settle()
    assert not chain.ended
    assert not chain.unanswered
    # No credit was lost on the way: the chain goes on for many windows.
    for _ in range(3 * WINDOW):
        if chain.may_send(1):
            chain.send(1, sample=True)
        chain.settle()
        assert not chain.unanswered
    for host in chain.hosts:
        assert host.cache == chain.history


@settings(max_examples=60, deadline=None)
@given(CHOICES, CHOICES, st.integers(-1, HOPS - 1))
def test_a_chain_that_is_closed_or_fails_ends_everywhere(before: bytes, after: bytes, failing: int) -> None:
    chain = ChainOfThree()
    drive(chain, before)
    chain.close() if failing < 0 else chain.fail(failing)
    drive(chain, after)
    chain.settle()
    for host in chain.hosts:
        assert host.machine.state is HostState.CLOSED
        assert not host.held
        assert not host.work
    assert len(chain.ended) == (failing >= 0)


def test_a_step_under_way_when_the_session_is_cut_is_dropped_by_every_hop() -> None:
    chain = ChainOfThree()
    chain.send(4, sample=True)
    chain.settle()
    chain.send(2, sample=True)
    chain.carry(CLIENT, PEERS[0])
    chain.hosts[0].begin()
    chain.hosts[0].finish()
    chain.flush()  # the step is now between the first two hosts
    chain.truncate(3)
    chain.carry(CLIENT, PEERS[1])
    chain.hosts[1].begin()
    chain.flush()
    chain.settle()
    assert chain.hosts[1].machine.duplicates == 1
    chain.send(1, sample=True)
    chain.settle()
    assert chain.answered == 4
    assert [host.cache for host in chain.hosts] == [[0, 1, 2, 6]] * 3


def test_a_slow_hop_slows_the_client_down_through_the_hop_between() -> None:
    chain = ChainOfThree()
    while chain.may_send(1):
        chain.send(1, sample=False)
        chain.settle(stopped=2)
    # A window of steps for each link: the tail's is not credited, so the others are not either.
    assert WINDOW <= chain.step <= 3 * WINDOW
    chain.settle()
    assert not chain.unanswered


# Alone, against peers that do wrong


@pytest.mark.parametrize(
    ("message", "right"),
    [
        (step(0), PEERS[0]),
        (Truncate(session=SESSIONS[1], epoch=1, position=0, next_step=0), CLIENT),
        (Credit(session=SESSIONS[2], epoch=0, step=0), PEERS[2]),
        (Close(session=SESSIONS[1]), CLIENT),
        (Abort(session=SESSIONS[2], code=1, detail=""), PEERS[2]),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Message) else "",
)
def test_a_message_counts_only_from_the_one_peer_that_may_send_it(message: Message, right: PeerId) -> None:
    for sender in {CLIENT, *PEERS, STRANGER} - {right}:
        machine = opened()
        assert not machine.receive(message, sender=sender, now=500.0)
        assert machine.state is HostState.OPEN
        assert machine.events() == []
        assert machine.messages_to_send() == []
        assert machine.next_timeout() == limits.SESSION_IDLE_TIMEOUT_S
    assert opened().receive(message, sender=right, now=500.0)


@pytest.mark.parametrize(
    "message",
    [
        replace(step(0), session=SESSIONS[2]),
        Close(session=SESSIONS[0]),
        Credit(session=SESSIONS[1], epoch=0, step=0),
        Ready(session=SESSIONS[1]),
        Truncated(session=SESSIONS[1], epoch=0, position=0),
        Ping(nonce=1),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_message_of_another_session_or_kind_is_not_taken(message: Message) -> None:
    machine = opened()
    for sender in (CLIENT, *PEERS):
        assert not machine.receive(message, sender=sender, now=1.0)
    assert machine.state is HostState.OPEN


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (step(3), Code.STEP_GAP),
        (step(2, position=1), Code.POSITION_MISMATCH),
        (step(2, position=3), Code.POSITION_MISMATCH),
        (step(2, epoch=1), Code.PROTOCOL),
        (step(2, count=0), Code.BAD_TENSOR),
        (replace(step(2), count=2), Code.BAD_TENSOR),
        (replace(step(2), shape=(1, 1, 2), body=tensor([0, 0])), Code.BAD_TENSOR),
        (replace(step(2), shape=(1, 1)), Code.BAD_TENSOR),
        (replace(step(2), shape=(2, 1, 1), body=tensor([0, 0])), Code.BAD_TENSOR),
        (replace(step(2), dtype=DType.BFLOAT16, body=b"\0\0"), Code.BAD_TENSOR),
        (replace(step(2), body=b""), Code.BAD_TENSOR),
        (replace(step(2), body=bytes(3)), Code.BAD_TENSOR),
        (replace(step(2), body=bytes(8)), Code.BAD_TENSOR),
        (
            replace(step(2), count=1 << 24, shape=(1, 1 << 24, 1)),
            Code.BAD_TENSOR,
        ),
        (step(2, count=499), Code.CONTEXT_FULL),
        (replace(step(2), trace=(HopTime(queue_us=0, compute_us=0),) * limits.MAX_HOPS), Code.PROTOCOL),
    ],
    ids=lambda one: one.text if isinstance(one, Code) else "",
)
def test_a_step_that_does_not_fit_ends_the_session(bad: Forward, code: Code) -> None:
    machine = opened()
    feed(machine, step(0), step(1))
    assert compute(machine) == 2
    machine.messages_to_send()
    feed(machine, bad)
    assert_ended(machine, code)


def test_the_longest_step_that_fits_is_taken() -> None:
    machine = opened()
    full = replace(step(0, count=500), trace=(HopTime(queue_us=0, compute_us=0),) * (limits.MAX_HOPS - 1))
    feed(machine, full)
    assert machine.events() == [StepArrived(full)]


def test_repeated_steps_are_ignored() -> None:
    machine = opened()
    feed(machine, step(0), step(1), step(0), step(1), replace(step(1), body=b"other"))
    assert machine.duplicates == 3
    assert [one.forward.step for one in machine.events() if isinstance(one, StepArrived)] == [0, 1]


def test_a_step_past_the_window_ends_the_session() -> None:
    machine = opened()
    feed(machine, *map(step, range(WINDOW)))
    assert len(machine.events()) == WINDOW
    feed(machine, step(WINDOW))
    assert_ended(machine, Code.WINDOW_EXCEEDED)


def test_an_upstream_that_ignores_credits_cannot_make_a_host_hold_more_than_a_window() -> None:
    machine = opened()
    passed_on = taken = 0
    while machine.state is HostState.OPEN:
        feed(machine, step(taken))
        taken += compute(machine)
        passed_on += sum(isinstance(message, Forward) for _, message in machine.messages_to_send())
    # The next hop gave no credit: a window left, and of the second one as much as was credited for the first.
    assert passed_on == WINDOW
    assert taken - passed_on <= WINDOW


def test_credit_comes_for_each_half_window_that_has_left() -> None:
    machine = opened()
    credits = []
    for number in range(3 * WINDOW):
        feed(machine, step(number))
        compute(machine)
        for to, message in machine.messages_to_send():
            if isinstance(message, Credit):
                assert to is To.UPSTREAM
                assert message.session == SESSIONS[1]
                credits.append(message.step)
            elif isinstance(message, Forward):
                feed(machine, Credit(session=SESSIONS[2], epoch=0, step=message.step))
    assert credits == list(range(WINDOW // 2 - 1, 3 * WINDOW, WINDOW // 2))


def test_a_tail_gives_credit_for_steps_whose_answers_have_left() -> None:
    machine = opened(TAIL)
    sent: list[tuple[To, Message]] = []
    for number in range(WINDOW):
        feed(machine, step(number, hop=2))
        compute(machine)
        sent += machine.messages_to_send()
    assert [message.step for to, message in sent if isinstance(message, Tokens) and to is To.CLIENT] == list(
        range(WINDOW)
    )
    assert [message.step for to, message in sent if isinstance(message, Credit) and to is To.UPSTREAM] == [
        3,
        7,
    ]


def test_credit_for_what_was_never_received_is_ignored() -> None:
    machine = opened()
    feed(machine, Credit(session=SESSIONS[2], epoch=0, step=1_000_000))
    feed(machine, Credit(session=SESSIONS[2], epoch=7, step=0))
    feed(machine, *map(step, range(WINDOW)))
    compute(machine)
    feed(machine, step(WINDOW))
    compute(machine)
    assert sum(isinstance(message, Forward) for _, message in machine.messages_to_send()) == WINDOW


def test_results_must_come_in_order_and_once() -> None:
    machine = opened()
    feed(machine, step(0), step(1))
    with pytest.raises(IllegalState):
        machine.deliver(step(1), step(1, hop=2))
    machine.deliver(step(0), step(0, hop=2))
    with pytest.raises(IllegalState):
        machine.deliver(step(0), step(0, hop=2))


# Cuts


def cut(position: int, *, epoch: int = 1, next_step: int = 4) -> Truncate:
    return Truncate(session=SESSIONS[1], epoch=epoch, position=position, next_step=next_step)


def after_four_steps() -> HostedSession:
    machine = opened()
    feed(machine, *map(step, range(4)))
    compute(machine)
    machine.messages_to_send()
    return machine


def test_a_cut_drops_steps_that_wait_and_restores_the_whole_window() -> None:
    machine = after_four_steps()
    feed(machine, *map(step, range(4, 9)))
    (first, *_) = machine.events()
    assert isinstance(first, StepArrived)
    feed(machine, step(9), cut(2, next_step=12))
    assert machine.events() == [CutRequested(2, 1)]
    assert not machine.current(first.forward)
    machine.deliver(first.forward, first.forward)
    assert machine.messages_to_send() == []
    machine.cut_done(CutRequested(2, 1), 2)
    assert machine.messages_to_send() == [(To.CLIENT, Truncated(session=SESSIONS[1], epoch=1, position=2))]
    feed(machine, *(step(12 + one, position=2 + one, epoch=1) for one in range(WINDOW)))
    assert compute(machine) == WINDOW
    assert sum(isinstance(message, Forward) for _, message in machine.messages_to_send()) == WINDOW


def test_steps_and_credits_of_the_epoch_before_a_cut_are_ignored() -> None:
    machine = after_four_steps()
    feed(machine, cut(0), step(4), step(9, position=300), Credit(session=SESSIONS[2], epoch=0, step=3))
    assert compute(machine) == 0
    feed(machine, step(4), step(0))
    assert machine.state is HostState.OPEN
    assert machine.duplicates == 4
    assert machine.position == 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (cut(5), Code.POSITION_MISMATCH),
        (cut(2, epoch=2), Code.PROTOCOL),
        (cut(2, next_step=3), Code.PROTOCOL),
    ],
)
def test_a_cut_that_does_not_fit_ends_the_session(bad: Truncate, code: Code) -> None:
    machine = after_four_steps()
    feed(machine, bad)
    assert_ended(machine, code)


def test_a_cut_to_positions_received_but_never_computed_ends_the_session() -> None:
    machine = after_four_steps()
    feed(machine, step(4), step(5), cut(6, next_step=6))
    (asked,) = machine.events()
    assert isinstance(asked, CutRequested)
    machine.cut_done(asked, 4)
    assert_ended(machine, Code.POSITION_MISMATCH)


def test_a_repeated_cut_is_ignored_once_it_is_made() -> None:
    machine = after_four_steps()
    feed(machine, cut(2))
    compute(machine)
    machine.messages_to_send()
    feed(machine, cut(2), cut(1, epoch=0))
    assert machine.state is HostState.OPEN
    assert machine.position == 2
    assert machine.messages_to_send() == []


@pytest.mark.parametrize("early", [cut(1, epoch=2), step(4, position=2, epoch=1)])
def test_nothing_of_a_new_epoch_is_taken_before_its_cut_is_made(early: Message) -> None:
    machine = after_four_steps()
    feed(machine, cut(2), early)
    assert_ended(machine, Code.PROTOCOL)


def test_a_flood_of_cuts_and_steps_keeps_at_most_a_window_and_a_cut_waiting() -> None:
    machine = opened()
    waiting = 0
    epoch = number = 0
    while machine.state is not HostState.CLOSED:
        for _ in range(WINDOW):
            feed(machine, step(number, position=number % WINDOW, epoch=epoch))
            number += 1
        epoch += 1
        feed(machine, cut(0, epoch=epoch, next_step=number))
        waiting += len([one for one in machine.events() if not isinstance(one, Ended)])
    assert waiting <= WINDOW + 1


# Opening and ending


def test_a_host_that_cannot_open_says_why_and_when_to_ask_again() -> None:
    machine = HostedSession(MIDDLE, client=CLIENT, hidden_size=1, now=0.0)
    machine.refuse(Code.NO_MEMORY, "no\nroom " + "x" * 500, retry_after_ms=5_000)
    ((to, message),) = machine.messages_to_send()
    assert to is To.CLIENT
    assert isinstance(message, Refused)
    assert (message.code, message.retry_after_ms) == (Code.NO_MEMORY, 5_000)
    assert message.detail == ("no room " + "x" * 500)[: limits.MAX_DETAIL_CHARS]
    assert [type(one) for one in machine.events()] == [Ended]


def test_a_failure_while_opening_is_a_refusal() -> None:
    machine = HostedSession(MIDDLE, client=CLIENT, hidden_size=1, now=0.0)
    machine.fail(Code.SHUTTING_DOWN, "stopping")
    ((_, message),) = machine.messages_to_send()
    assert isinstance(message, Refused)


def test_a_client_may_close_at_any_time_and_is_told_nothing() -> None:
    for machine in (HostedSession(MIDDLE, client=CLIENT, hidden_size=1, now=0.0), after_four_steps()):
        feed(machine, Close(session=SESSIONS[1]))
        assert machine.events() == [Ended(None, "closed by the client")]
        assert machine.messages_to_send() == []


def test_the_loss_of_the_next_hops_session_ends_this_one() -> None:
    machine = after_four_steps()
    feed(machine, Abort(session=SESSIONS[2], code=Code.UNKNOWN_SESSION, detail=""))
    assert_ended(machine, Code.HOP_LOST)


def test_what_comes_after_the_end_is_ignored() -> None:
    machine = after_four_steps()
    feed(machine, Close(session=SESSIONS[1]))
    machine.events()
    late = (step(4), cut(1), Close(session=SESSIONS[1]), Credit(session=SESSIONS[2], epoch=0, step=0))
    feed(machine, *late, Abort(session=SESSIONS[2], code=1, detail=""))
    machine.fail(Code.COMPUTE_FAILED, "")
    machine.deliver(step(3), step(3))
    machine.cut_done(CutRequested(1, 1), 1)
    machine.on_time(now=1e9)
    assert machine.events() == []
    assert machine.messages_to_send() == []


def test_a_session_without_a_message_ends_when_it_has_idled_too_long() -> None:
    machine = after_four_steps()
    feed(machine, step(4), now=100.0)
    due = machine.next_timeout()
    assert due == 100.0 + limits.SESSION_IDLE_TIMEOUT_S
    machine.on_time(now=due - 1)
    assert machine.state is HostState.OPEN
    machine.on_time(now=due)
    assert_ended(machine, Code.SESSION_IDLE)


# The table


def enter(state: HostState) -> HostedSession:
    """A machine in this state."""
    machine = HostedSession(MIDDLE, client=CLIENT, hidden_size=1, now=0.0)
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


RECEIVED: dict[HostInput, Message] = {
    HostInput.FORWARD: step(0),
    HostInput.TRUNCATE: cut(0, next_step=0),
    HostInput.CREDIT: Credit(session=SESSIONS[2], epoch=0, step=0),
    HostInput.CLOSE: Close(session=SESSIONS[1]),
    HostInput.ABORT: Abort(session=SESSIONS[2], code=1, detail=""),
}
COMMANDS: dict[HostInput, Callable[[HostedSession], None]] = {
    HostInput.ACCEPT: HostedSession.accept,
    HostInput.REFUSE: lambda machine: machine.refuse(Code.DRAINING, ""),
    HostInput.CUT_DONE: lambda machine: machine.cut_done(CutRequested(0, 0), 0),
}
ILLEGAL = [(state, kind) for state in HostState for kind in HostInput if (state, kind) not in HOST]


@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state, kind in ILLEGAL if kind in RECEIVED and state is not HostState.CLOSED],
)
def test_a_message_the_state_does_not_allow_ends_the_session(state: HostState, kind: HostInput) -> None:
    machine = enter(state)
    feed(machine, RECEIVED[kind])
    assert_ended(machine, Code.PROTOCOL)


@pytest.mark.parametrize("kind", RECEIVED)
def test_a_closed_session_ignores_every_message(kind: HostInput) -> None:
    machine = enter(HostState.CLOSED)
    feed(machine, RECEIVED[kind])
    assert machine.events() == []
    assert machine.messages_to_send() == []


@pytest.mark.parametrize(("state", "kind"), [pair for pair in ILLEGAL if pair[1] in COMMANDS])
def test_a_command_the_state_does_not_allow_is_our_own_error(state: HostState, kind: HostInput) -> None:
    machine = enter(state)
    if (state, kind) == (HostState.CLOSED, HostInput.CUT_DONE):
        COMMANDS[kind](machine)  # the client closed while the cut was being made
        assert machine.messages_to_send() == []
        return
    with pytest.raises(IllegalState, match=kind.value):
        COMMANDS[kind](machine)
    assert machine.state is state


@pytest.mark.parametrize("state", [state for state in HostState if (state, HostInput.DELIVER) not in HOST])
def test_a_result_the_state_does_not_allow_is_dropped(state: HostState) -> None:
    machine = enter(state)
    machine.deliver(step(0), step(0, hop=2))
    assert machine.state is state
    assert machine.messages_to_send() == []


def test_every_input_of_the_table_is_covered_here() -> None:
    assert {*RECEIVED, *COMMANDS, HostInput.DELIVER, HostInput.FAIL} == set(HostInput)


# Requests that contradict themselves


@pytest.mark.parametrize(
    "bad",
    [
        replace(MIDDLE, next_peer=None),
        replace(MIDDLE, next_address=None),
        replace(MIDDLE, next_session=None),
        replace(MIDDLE, next_session=MIDDLE.session),
        replace(MIDDLE, sampling=Sampling()),
        replace(MIDDLE, logprobs=1),
        replace(MIDDLE, positions=0),
        replace(TAIL, sampling=None),
        replace(TAIL, next_peer=PEERS[0]),
        replace(TAIL, next_session=SessionId(bytes(16))),
        replace(TAIL, next_address=Address("127.0.0.1", 1)),
        replace(TAIL, delivery=Delivery.HIDDEN),
        replace(TAIL, delivery=Delivery.HIDDEN, sampling=None, logprobs=3),
        replace(TAIL, positions=0),
    ],
)
def test_a_request_that_contradicts_itself_is_a_bad_message(bad: Open) -> None:
    with pytest.raises(BadMessage, match="^open: "):
        HostedSession(bad, client=CLIENT, hidden_size=1, now=0.0)


@pytest.mark.parametrize("delivery", [Delivery.TOKENS, Delivery.HIDDEN])
def test_the_requests_of_a_route_are_sound(delivery: Delivery) -> None:
    for request in opens(delivery):
        check_open(request)


def test_a_hop_that_answers_the_client_has_no_next_peer() -> None:
    machine = opened(TAIL)
    assert machine.peer(To.UPSTREAM) == PEERS[1]
    with pytest.raises(IllegalState):
        machine.peer(To.NEXT)


def test_hidden_states_for_the_client_go_to_the_client() -> None:
    machine = opened(opens(Delivery.HIDDEN)[2])
    feed(machine, step(0, hop=2))
    answer = Output(
        session=SESSIONS[2],
        epoch=0,
        step=0,
        position=0,
        dtype=DType.FLOAT32,
        shape=(1, 1, 1),
        trace=(),
        body=bytes(4),
    )
    machine.deliver(step(0, hop=2), answer)
    assert machine.messages_to_send() == [(To.CLIENT, answer)]
