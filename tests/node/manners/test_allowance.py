"""What peers may have: no more than their share, whatever they do, and in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto.identity import Identity, PeerId
from node.manners.allowance import DEBT_SHARE, MAX_RETRY_MS, Allowances, Shares
from wire.codes import Code


def peer(number: int) -> PeerId:
    return Identity.from_seed(number.to_bytes(32, "big")).peer_id


A, B = peer(1), peer(2)
HOURLY = Shares(sessions=2, tokens_per_hour=3600)


def test_a_peer_that_nobody_knows_may_open() -> None:
    assert Allowances(HOURLY).may_open(A, 0.0) is None


def test_a_peer_holds_no_more_sessions_than_its_share_and_others_hold_theirs() -> None:
    held = Allowances(HOURLY)
    for _ in range(2):
        assert held.may_open(A, 0.0) is None
        held.opened(A, 0.0)
    refusal = held.may_open(A, 0.0)
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_ms) == (Code.TOO_MANY_SESSIONS, None)
    assert held.may_open(B, 0.0) is None
    held.closed(A, 0.0)
    assert held.may_open(A, 0.0) is None
    assert held.sessions(A) == 1


def test_a_peer_that_used_its_tokens_waits_until_a_session_is_worth_it() -> None:
    held = Allowances(HOURLY)
    held.spent(A, 3600, 0.0)
    refusal = held.may_open(A, 0.0)
    assert refusal is not None
    assert refusal.code is Code.TOO_MANY_SESSIONS
    assert "3600 tokens an hour" in refusal.detail
    assert refusal.retry_after_ms == 72_000
    assert held.may_open(A, 71.0) is not None
    assert held.may_open(A, 72.1) is None
    assert held.may_open(B, 0.0) is None


def test_an_answer_may_overdraw_a_little_and_is_ended_when_it_overdraws_much() -> None:
    held = Allowances(HOURLY)
    held.opened(A, 0.0)
    held.spent(A, 3600 + 300, 0.0)
    assert held.must_end(A, 0.0) is None
    held.spent(A, 60, 0.0)
    refusal = held.must_end(A, 0.0)
    assert refusal is not None
    assert refusal.code is Code.TOO_MANY_SESSIONS
    assert refusal.retry_after_ms == (360 + 72) * 1000
    assert held.must_end(B, 0.0) is None


def test_without_a_number_tokens_are_not_counted() -> None:
    held = Allowances(Shares())
    held.spent(A, 10**9, 0.0)
    assert len(held) == 0
    assert held.may_open(A, 0.0) is held.must_end(A, 0.0) is None


def test_who_owes_and_holds_nothing_is_forgotten() -> None:
    held = Allowances(HOURLY)
    held.opened(A, 0.0)
    held.spent(A, 100, 0.0)
    held.closed(A, 50.0)
    assert len(held) == 1
    held.opened(A, 101.0)
    held.closed(A, 101.0)
    held.closed(A, 101.0)
    assert len(held) == 0


def test_many_identities_do_not_make_a_host_forget_who_used_most() -> None:
    held = Allowances(HOURLY, max_peers=20)
    held.spent(A, 5000, 0.0)
    held.opened(B, 0.0)
    for number in range(10, 110):
        held.spent(peer(number), 1, 0.0)
        assert len(held) <= 20
    assert held.may_open(A, 0.0) is not None
    assert held.sessions(B) == 1


def test_other_shares_hold_at_once_for_those_who_are_known() -> None:
    held = Allowances(HOURLY)
    held.opened(A, 0.0)
    held.spent(A, 1800, 0.0)
    held.change(Shares(sessions=1, tokens_per_hour=360), 0.0)
    assert held.may_open(A, 0.0) is not None
    held.closed(A, 0.0)
    assert held.may_open(A, 0.0) is None
    held.spent(A, 181, 0.0)
    assert held.may_open(A, 0.0) is not None
    held.change(Shares(), 0.0)
    assert len(held) == 0
    held.opened(A, 0.0)
    held.change(HOURLY, 0.0)
    held.spent(A, 4000, 0.0)
    assert held.must_end(A, 0.0) is not None


@given(st.integers(100, 10**9), st.integers(1, 10**12))
def test_a_refusal_never_names_a_time_that_a_message_cannot(tokens_per_hour: int, tokens: int) -> None:
    held = Allowances(Shares(tokens_per_hour=tokens_per_hour))
    held.spent(A, tokens, 0.0)
    for refusal in (held.may_open(A, 0.0), held.must_end(A, 0.0)):
        if refusal is not None and refusal.retry_after_ms is not None:
            assert 1 <= refusal.retry_after_ms <= MAX_RETRY_MS
            wait_s = refusal.retry_after_ms / 1000
            if refusal.retry_after_ms < MAX_RETRY_MS:
                assert held.may_open(A, wait_s + 0.01) is None


class Use(RuleBasedStateMachine):
    """Peers that open, compute and close whenever they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.held = Allowances(HOURLY, max_peers=4)
        self.open: dict[PeerId, int] = {}
        self.used: dict[PeerId, float] = {}

    @rule(number=st.integers(0, 2))
    def opens(self, number: int) -> None:
        who = peer(number)
        if self.held.may_open(who, self.now) is None:
            self.held.opened(who, self.now)
            self.open[who] = self.open.get(who, 0) + 1

    @rule(number=st.integers(0, 2), tokens=st.integers(1, 300))
    def computes(self, number: int, tokens: int) -> None:
        who = peer(number)
        if self.open.get(who) and self.held.must_end(who, self.now) is None:
            self.held.spent(who, tokens, self.now)
            self.used[who] = self.used.get(who, 0) + tokens

    @rule(number=st.integers(0, 2))
    def closes(self, number: int) -> None:
        who = peer(number)
        if self.open.get(who):
            self.open[who] -= 1
            self.held.closed(who, self.now)

    @rule(seconds=st.floats(0, 2000))
    def waits(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nobody_has_more_than_its_share(self) -> None:
        for who, count in self.open.items():
            assert self.held.sessions(who) == count <= 2
        most = 3600 * (1 + DEBT_SHARE) + self.now + 300
        assert all(one <= most for one in self.used.values())
        assert len(self.held) <= 4


TestUse = Use.TestCase


@pytest.mark.parametrize("tokens", [0, -5])
def test_nothing_computed_costs_nothing(tokens: int) -> None:
    held = Allowances(HOURLY)
    held.spent(A, tokens, 0.0)
    assert len(held) == 0
