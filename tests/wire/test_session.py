"""A host's session alone, against every wrong input. Three in a chain: `tests/simulation/test_session_chain.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.identity import PeerId
from tests.fakes.lone_session import (
    MIDDLE,
    TAIL,
    after_four_steps,
    assert_ended,
    compute,
    cut,
    feed,
    opened,
    step,
)
from tests.fakes.session_chain import CLIENT, PEERS, SESSIONS, opens, tensor
from wire import limits
from wire.codes import Code
from wire.errors import BadMessage, IllegalState
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, HopTime, Output, Tokens
from wire.messages.link import Ping
from wire.messages.session import Abort, Close, Delivery, Ready, Refused, Truncate, Truncated
from wire.session import CutRequested, Ended, HostedSession, StepArrived, To
from wire.session_table import HostState
from wire.tensors import DType

STRANGER = PeerId(bytes([77]) * 32)
WINDOW = limits.SESSION_WINDOW_STEPS


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


@pytest.mark.parametrize(("past", "taken"), [(0, True), (1, False)])
def test_a_step_is_bounded_in_bytes(past: int, taken: bool) -> None:
    elements = limits.MAX_STEP_BYTES // 4 + past
    machine = HostedSession(MIDDLE, client=CLIENT, hidden_size=elements, now=0.0)
    machine.accept()
    feed(machine, replace(step(0), shape=(1, 1, elements), body=bytes(4 * elements)))
    if taken:
        assert [type(one) for one in machine.events()] == [StepArrived]
    else:
        assert_ended(machine, Code.TOO_LARGE)


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
    credited = []
    for number in range(3 * WINDOW):
        feed(machine, step(number))
        compute(machine)
        for to, message in machine.messages_to_send():
            if isinstance(message, Credit):
                assert to is To.UPSTREAM
                assert message.session == SESSIONS[1]
                credited.append(message.step)
            elif isinstance(message, Forward):
                feed(machine, Credit(session=SESSIONS[2], epoch=0, step=message.step))
    assert credited == list(range(WINDOW // 2 - 1, 3 * WINDOW, WINDOW // 2))


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


def test_credit_for_steps_or_epochs_that_never_were_is_ignored() -> None:
    machine = opened()
    feed(machine, Credit(session=SESSIONS[2], epoch=0, step=1_000_000))
    feed(machine, *map(step, range(WINDOW)))
    compute(machine)
    feed(machine, Credit(session=SESSIONS[2], epoch=7, step=WINDOW - 1))
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


def test_a_cut_drops_results_that_wait_for_credit_and_late_ones() -> None:
    machine = opened()
    feed(machine, *map(step, range(WINDOW)))
    compute(machine)
    late = step(WINDOW)
    feed(machine, late)
    compute(machine)
    machine.messages_to_send()
    feed(machine, cut(0, next_step=WINDOW + 1))
    compute(machine)
    machine.deliver(late, replace(late, session=SESSIONS[2]))
    feed(machine, step(WINDOW + 1, position=0, epoch=1))
    compute(machine)
    passed_on = [message for _, message in machine.messages_to_send() if isinstance(message, Forward)]
    assert [(one.epoch, one.step) for one in passed_on] == [(1, WINDOW + 1)]


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


def test_a_request_that_contradicts_itself_opens_no_session() -> None:
    with pytest.raises(BadMessage):
        HostedSession(replace(TAIL, sampling=None), client=CLIENT, hidden_size=1, now=0.0)
