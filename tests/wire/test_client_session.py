"""The client's half of one session against every wrong answer. In a chain: `tests/simulation/test_session_chain.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.hop_session import TAIL, credit, entered, output, ready, step, tokens, truncated
from tests.fakes.session_chain import SESSIONS, opens
from wire import limits
from wire.client_session import HopEnded, HopReady, HopSession, HopTruncated, StepAnswered, WindowOpened
from wire.codes import Code
from wire.errors import IllegalState
from wire.messages.base import Message
from wire.messages.forward import Alternative, Output, Tokens
from wire.messages.link import Ping
from wire.messages.session import Abort, Close, Delivery, Ready, Refused, Truncate
from wire.session_table import ClientState
from wire.tensors import DType

WINDOW = limits.SESSION_WINDOW_STEPS


def assert_faulted(hop: HopSession) -> None:
    """The session ended for the host's fault, and the host is told to free it."""
    (ended,) = hop.events()
    assert isinstance(ended, HopEnded)
    assert ended.code is Code.PROTOCOL
    assert hop.messages_to_send() == [Close(session=SESSIONS[2])]
    assert hop.state is ClientState.CLOSED


def test_a_session_begins_by_asking_for_it() -> None:
    hop = HopSession(TAIL, hidden_size=1)
    assert hop.messages_to_send() == [TAIL]
    assert hop.messages_to_send() == []
    assert not hop.may_send
    hop.receive(Ready(session=TAIL.session))
    assert hop.may_send


def test_a_refusal_says_why_and_when_to_ask_again() -> None:
    hop = entered(ClientState.OPENING)
    hop.receive(Refused(session=TAIL.session, code=Code.NO_MEMORY, detail="full", retry_after_ms=50))
    assert hop.events() == [HopEnded(Code.NO_MEMORY, "full", True, 50)]


def test_a_code_of_a_newer_protocol_is_no_code() -> None:
    for hop, message in (
        (entered(ClientState.OPENING), Refused(session=TAIL.session, code=60_000, detail="new")),
        (ready(), Abort(session=TAIL.session, code=60_000, detail="new")),
    ):
        refused = hop.state is ClientState.OPENING
        hop.receive(message)
        assert hop.events() == [HopEnded(None, "new", refused)]


def test_steps_are_sent_only_to_the_first_hop_but_expected_of_the_last() -> None:
    first, last = ready(opens()[0]), ready()
    first.announce(step(0), send=True)
    last.announce(step(0), send=False)
    assert first.messages_to_send() == [step(0)]
    assert last.messages_to_send() == []
    last.receive(tokens(0))
    assert last.events() == [StepAnswered(tokens(0))]


def test_a_window_of_steps_goes_out_before_credit_is_needed() -> None:
    hop = ready()
    for number in range(WINDOW):
        assert hop.may_send
        hop.announce(step(number), send=True)
    assert not hop.may_send
    with pytest.raises(IllegalState, match="window"):
        hop.announce(step(WINDOW), send=True)
    hop.receive(credit(3))
    assert hop.events() == [WindowOpened()]
    hop.announce(step(WINDOW), send=True)
    assert hop.may_send


@pytest.mark.parametrize("useless", [credit(WINDOW), credit(1_000), credit(3, epoch=1), credit(0, epoch=9)])
def test_credit_for_what_was_never_sent_opens_nothing(useless: Message) -> None:
    hop = ready()
    for number in range(WINDOW):
        hop.announce(step(number), send=True)
    hop.receive(useless)
    assert not hop.may_send
    assert hop.events() == []
    assert hop.state is ClientState.READY


def test_an_older_credit_takes_nothing_back() -> None:
    hop = ready()
    for number in range(WINDOW):
        hop.announce(step(number), send=True)
    hop.receive(credit(7))
    hop.receive(credit(3))
    assert hop.events() == [WindowOpened()]
    assert hop.may_send


@pytest.mark.parametrize("wrong", [step(2), step(0), step(1, epoch=1)])
def test_our_own_steps_must_follow_each_other(wrong: Message) -> None:
    hop = ready()
    hop.announce(step(0), send=True)
    with pytest.raises(IllegalState, match="does not follow"):
        hop.announce(wrong, send=True)  # type: ignore[arg-type]  # wrong on purpose


def asked(delivery: Delivery = Delivery.TOKENS, *, logprobs: int = 0) -> HopSession:
    """A last hop that owes answers to steps 0, 1 and 2."""
    hop = ready(replace(opens(delivery)[2], logprobs=logprobs))
    for number in range(3):
        hop.announce(step(number), send=False)
    hop.receive(tokens(0) if delivery is Delivery.TOKENS else output(0))
    assert len(hop.events()) == 1
    return hop


def with_logprobs(*ids: int) -> Tokens:
    return replace(tokens(1), logprobs=tuple(Alternative(token=one, logprob=-1.0) for one in ids))


@pytest.mark.parametrize(
    "wrong",
    [
        tokens(2),
        tokens(3),
        tokens(1, epoch=1),
        tokens(4, epoch=1),
        tokens(1, position=1),
        tokens(1, position=3),
        tokens(1, ids=()),
        tokens(1, ids=(1, 2)),
        with_logprobs(5),
        output(1),
    ],
)
def test_a_wrong_answer_of_a_tail_ends_the_session(wrong: Tokens | Output) -> None:
    hop = asked()
    hop.receive(wrong)
    assert_faulted(hop)


@pytest.mark.parametrize(
    "wrong", [with_logprobs(), with_logprobs(6), with_logprobs(6, 5), with_logprobs(5, 1, 2, 3)]
)
def test_log_probabilities_must_be_those_asked_for(wrong: Tokens) -> None:
    hop = asked(logprobs=2)
    hop.receive(wrong)
    assert_faulted(hop)


@pytest.mark.parametrize("right", [tokens(1), with_logprobs(5), with_logprobs(5, 5, 7)])
def test_log_probabilities_may_be_fewer_than_asked_for(right: Tokens) -> None:
    hop = asked(logprobs=2)
    hop.receive(right)
    assert hop.events() == [StepAnswered(right)]


def test_a_step_without_a_sample_is_answered_without_a_token() -> None:
    hop = ready()
    hop.announce(replace(step(0), sample=False), send=False)
    hop.receive(tokens(0, ids=()))
    assert len(hop.events()) == 1
    hop.announce(replace(step(1), sample=False), send=False)
    hop.receive(tokens(1))
    assert_faulted(hop)


@pytest.mark.parametrize(
    "wrong",
    [
        output(2),
        output(3),
        replace(output(1), position=0),
        replace(output(1), position=2),
        output(1, shape=(1, 1, 2), body=bytes(8)),
        output(1, shape=(1, 2, 1), body=bytes(8)),
        output(1, shape=(1, 1)),
        output(1, body=bytes(3)),
        output(1, body=b""),
        replace(output(1), dtype=DType.BFLOAT16, body=bytes(2)),
        tokens(1),
    ],
)
def test_wrong_hidden_states_of_a_last_hop_end_the_session(wrong: Tokens | Output) -> None:
    hop = asked(Delivery.HIDDEN)
    hop.receive(wrong)
    assert_faulted(hop)


def test_an_answer_is_reported_once() -> None:
    hop = asked()
    hop.receive(tokens(0))
    hop.receive(tokens(1))
    hop.receive(tokens(1))
    hop.receive(tokens(0))
    assert hop.events() == [StepAnswered(tokens(1))]
    assert hop.state is ClientState.READY


def test_a_hop_in_the_middle_owes_no_answers() -> None:
    hop = ready(opens()[1])
    hop.announce(step(0), send=False)
    hop.receive(tokens(0))
    assert hop.events() == []
    hop.receive(tokens(1))
    assert isinstance(hop.events()[0], HopEnded)


def test_a_cut_forgets_what_was_outstanding_and_begins_an_epoch() -> None:
    hop = asked()
    hop.truncate(1)
    assert hop.messages_to_send() == [Truncate(session=SESSIONS[2], epoch=1, position=1, next_step=3)]
    assert hop.state is ClientState.TRUNCATING
    for late in (tokens(1), tokens(2), credit(2)):
        hop.receive(late)
    assert hop.events() == []
    hop.receive(truncated(1))
    assert hop.events() == [HopTruncated(1)]
    hop.receive(tokens(2))
    number = 3
    while hop.may_send:
        hop.announce(step(number, position=number - 2, epoch=1), send=True)
        number += 1
    assert number == 3 + WINDOW
    hop.receive(tokens(3, position=2, epoch=1))
    assert len(hop.events()) == 1


@pytest.mark.parametrize("wrong", [truncated(0), truncated(2), truncated(1, epoch=0), truncated(1, epoch=2)])
def test_a_cut_made_elsewhere_ends_the_session(wrong: Message) -> None:
    hop = asked()
    hop.truncate(1)
    hop.messages_to_send()
    hop.receive(wrong)
    assert_faulted(hop)


def test_an_answer_to_an_epoch_that_has_no_steps_yet_ends_the_session() -> None:
    hop = asked()
    hop.truncate(1)
    hop.messages_to_send()
    hop.receive(tokens(3, epoch=1))
    assert_faulted(hop)


def test_a_second_ready_ends_the_session() -> None:
    hop = ready()
    hop.receive(Ready(session=TAIL.session))
    assert_faulted(hop)


def test_an_abort_ends_the_session_with_the_hosts_reason() -> None:
    hop = asked()
    hop.receive(Abort(session=TAIL.session, code=Code.COMPUTE_FAILED, detail="why"))
    assert hop.events() == [HopEnded(Code.COMPUTE_FAILED, "why", False)]
    assert hop.messages_to_send() == []


def test_a_lost_link_ends_the_session_without_a_word_to_the_host() -> None:
    hop = asked()
    hop.fail(Code.CONNECTION_LOST, "gone")
    hop.fail(Code.CONNECTION_LOST, "gone")
    assert hop.events() == [HopEnded(Code.CONNECTION_LOST, "gone", False)]
    assert hop.messages_to_send() == []
    opening = entered(ClientState.OPENING)
    opening.fail(Code.TIMEOUT, "never came")
    assert opening.events() == [HopEnded(Code.TIMEOUT, "never came", True)]


def test_what_comes_after_the_end_is_ignored() -> None:
    hop = asked()
    hop.close()
    hop.close()
    assert hop.messages_to_send() == [Close(session=SESSIONS[2])]
    late = (tokens(1), output(1), credit(1), truncated(0), Ready(session=TAIL.session))
    for message in (*late, Abort(session=TAIL.session, code=1, detail="")):
        hop.receive(message)
    assert hop.events() == []
    assert hop.messages_to_send() == []


def test_messages_that_are_not_for_a_client_are_ignored() -> None:
    hop = ready()
    for message in (step(0), Ping(nonce=1), Close(session=SESSIONS[2]), TAIL):
        hop.receive(message)
    assert hop.events() == []
    assert hop.state is ClientState.READY


def test_ready_is_told_once() -> None:
    hop = HopSession(TAIL, hidden_size=1)
    hop.receive(Ready(session=TAIL.session))
    assert hop.events() == [HopReady()]
    assert hop.events() == []
