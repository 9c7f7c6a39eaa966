"""Who forged is silenced, by address; nobody is for what others did, and none that was honest has to wait."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.dht.conduct import Conducts
from node.dht.places import source_of
from wire import limits
from wire.types import Address

HERE = Address("8.8.8.8", 3)
BESIDE = Address("8.8.8.8", 4)
LOCAL = Address("127.0.0.1", 1)


def other_port(number: int) -> Address:
    return Address(HERE.ip, 1024 + number)


def test_who_forged_is_not_heard_for_a_while_and_his_neighbours_are() -> None:
    conducts = Conducts()
    for address in (HERE, LOCAL):
        conducts.forged(address, 0.0)
        assert conducts.muted(address, limits.MUTED_S - 1)
        assert not conducts.muted(address, limits.MUTED_S)
    assert not conducts.muted(BESIDE, 0.0)
    assert conducts.may_check(BESIDE, 0.0)


def test_when_many_ports_of_a_source_forged_only_its_unknown_ones_wait() -> None:
    conducts = Conducts()
    conducts.honest(HERE, 0.0)
    for number in range(limits.VAIN_CHECKS_PER_SOURCE):
        assert conducts.may_check(other_port(number), 0.0)
        conducts.forged(other_port(number), 0.0)
    assert not conducts.may_check(BESIDE, 0.0)
    assert conducts.may_check(HERE, 0.0)
    assert conducts.may_check(Address("8.8.4.4", 1), 0.0)
    # One after the other they are looked at again.
    wait = limits.MUTED_S / limits.VAIN_CHECKS_PER_SOURCE
    assert conducts.may_check(BESIDE, wait)
    # Who was honest and then forges is a stranger again.
    conducts.forged(HERE, 0.0)
    assert not conducts.may_check(HERE, 0.0)


def test_this_machine_has_no_neighbours() -> None:
    conducts = Conducts()
    for number in range(10 * limits.VAIN_CHECKS_PER_SOURCE):
        conducts.forged(Address("127.0.0.1", 1024 + number), 0.0)
    assert conducts.may_check(LOCAL, 0.0)
    assert all(
        conducts.fruitless(Address("127.0.0.1", 1024 + number), 0.0)
        for number in range(20 * limits.FRUITLESS_BURST)
    )


def test_what_changes_nothing_is_answered_so_often() -> None:
    conducts = Conducts()
    assert sum(conducts.fruitless(HERE, 0.0) for _ in range(1000)) == limits.FRUITLESS_BURST
    assert sum(conducts.fruitless(HERE, 1.0) for _ in range(1000)) == limits.FRUITLESS_HZ
    assert sum(conducts.fruitless(LOCAL, 0.0) for _ in range(1000)) == limits.FRUITLESS_BURST
    # The unknown ports of a source share what one has.
    conducts = Conducts()
    conducts.honest(HERE, 0.0)
    answered = sum(conducts.fruitless(other_port(number), 0.0) for number in range(1000))
    assert answered == limits.FRUITLESS_BURST
    assert conducts.fruitless(HERE, 0.0)


def test_who_signs_what_cannot_be_read_is_heard_but_not_checked_for_ever() -> None:
    conducts = Conducts()
    conducts.honest(HERE, 0.0)
    for _ in range(limits.FRUITLESS_BURST):
        assert conducts.may_check(HERE, 0.0)
        conducts.vain(HERE, 0.0)
    assert not conducts.may_check(HERE, 0.0)
    assert not conducts.muted(HERE, 0.0)
    assert conducts.may_check(HERE, 1.0)


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONDUCTS", 8)
    conducts = Conducts()
    for number in range(50):
        conducts.forged(Address(f"9.9.9.{number}", 1), 0.0)
        conducts.fruitless(Address(f"9.9.{number}.9", 1), 0.0)
    assert len(conducts) == 8
    assert not conducts.muted(Address("9.9.9.0", 1), 0.0)


class ConductMachine(RuleBasedStateMachine):
    """Forgers and honest nodes of two IPs and of this machine, in any order. The honest never pay for the others."""

    HONEST = (Address("8.8.8.8", 1), Address("8.8.8.8", 2), Address("2a00::1", 1), Address("127.0.0.1", 1))
    FORGERS = tuple(
        Address(ip, 100 + number) for ip in ("8.8.8.8", "2a00::2", "127.0.0.1") for number in range(30)
    )

    def __init__(self) -> None:
        super().__init__()
        self.conducts = Conducts()
        self.now = 0.0
        self.known: set[Address] = set()
        self.caught: dict[Address, float] = {}
        self.forgeries: list[Address] = []

    @rule(address=st.sampled_from(HONEST))
    def honest_node_sends(self, address: Address) -> None:
        assert not self.conducts.muted(address, self.now)
        if self.conducts.may_check(address, self.now):
            self.conducts.honest(address, self.now)
            self.known.add(address)

    @rule(address=st.sampled_from(FORGERS), times=st.integers(1, 40))
    def forger_sends(self, address: Address, times: int) -> None:
        for _ in range(times):
            if self.conducts.muted(address, self.now):
                assert self.caught[address] > self.now - limits.MUTED_S
            elif self.conducts.may_check(address, self.now):
                self.conducts.forged(address, self.now)
                self.caught[address] = self.now
                self.forgeries.append(address)

    @rule()
    def all_forgers_send(self) -> None:
        for address in self.FORGERS:
            self.forger_sends(address, 1)

    @rule(address=st.sampled_from(FORGERS), times=st.integers(1, 40))
    def forger_replays(self, address: Address, times: int) -> None:
        for _ in range(times):
            self.conducts.fruitless(address, self.now)

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def honest_nodes_are_heard_and_checked(self) -> None:
        for address in self.HONEST:
            assert not self.conducts.muted(address, self.now)
        for address in self.known:
            assert self.conducts.may_check(address, self.now)
        # Few forgers do not even keep a newcomer waiting.
        for newcomer in (HERE, Address("2a00::1", 9)):
            caught = sum(source_of(one.ip) == source_of(newcomer.ip) for one in self.forgeries)
            assert self.conducts.may_check(newcomer, self.now) or caught >= limits.VAIN_CHECKS_PER_SOURCE


TestConduct = ConductMachine.TestCase
TestConduct.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
