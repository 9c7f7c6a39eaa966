"""A client and three hosts under any order of events: steps, repeats, cuts, ends."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.session_chain import CLIENT, HOPS, PEERS, ChainOfThree
from wire import limits
from wire.messages.session import Delivery
from wire.session_table import HostState

WINDOW = limits.SESSION_WINDOW_STEPS


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


@settings(max_examples=80)
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


@settings(max_examples=40)
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
