"""The KV budget is never passed, and what is released is exactly what was reserved."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.slices.budget import KVBudget
from node.slices.errors import OutOfMemoryBudget

TOTAL = 1_000
KEYS = st.sampled_from("abcdef")


class BudgetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.budget = KVBudget(TOTAL)
        self.model: dict[str, int] = {}

    @rule(key=KEYS, nbytes=st.integers(0, 700))
    def reserve(self, key: str, nbytes: int) -> None:
        fits = sum(self.model.values()) - self.model.get(key, 0) + nbytes <= TOTAL
        if fits:
            self.budget.reserve(key, nbytes)
            self.model[key] = nbytes
        else:
            with pytest.raises(OutOfMemoryBudget) as caught:
                self.budget.reserve(key, nbytes)
            assert caught.value.wanted_bytes == nbytes
            assert caught.value.free_bytes < nbytes

    @rule(key=KEYS)
    def release(self, key: str) -> None:
        assert self.budget.release(key) == self.model.pop(key, 0)

    @invariant()
    def the_sum_is_exact_and_within_the_total(self) -> None:
        assert self.budget.used == sum(self.model.values()) <= self.budget.total == TOTAL
        assert self.budget.free == TOTAL - self.budget.used


TestBudget = BudgetMachine.TestCase


def test_negative_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        KVBudget(-1)
    with pytest.raises(ValueError, match="reserve"):
        KVBudget(1).reserve("a", -1)


def test_another_total_is_of_no_less_than_is_reserved() -> None:
    budget = KVBudget(0)
    budget.resize(TOTAL)
    budget.reserve("a", 600)
    budget.resize(600)
    assert (budget.total, budget.free) == (600, 0)
    with pytest.raises(ValueError, match="599"):
        budget.resize(599)
    assert budget.total == 600
