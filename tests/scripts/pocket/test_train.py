"""The schedule of a run, and what of an earlier run may be taken up."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from scripts.pocket.train import LONG_ROW, MEDIUM_ROW, SHORT_ROW, Recipe, rate_factor, row_length

RECIPE = Recipe(seed=1, cycles=(100, 50), warmup_steps=10, decay_share=0.4)


def test_the_rates_rise_and_fall_in_every_cycle() -> None:
    factors = [rate_factor(step, RECIPE) for step in range(RECIPE.steps)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[20] == factors[59] == factors[115] == 1
    assert factors[80] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(1 / 40)
    assert factors[100] == pytest.approx(0.1)
    assert factors[149] == pytest.approx(1 / 20)
    assert all(0 < factor <= 1 for factor in factors)


def test_rows_are_short_at_first_and_longer_now_and_then() -> None:
    lengths = [row_length(step, RECIPE) for step in range(RECIPE.steps)]
    assert set(lengths[:33]) == {SHORT_ROW}
    assert set(lengths[33:]) == {SHORT_ROW, MEDIUM_ROW, LONG_ROW}
    assert lengths[48] == LONG_ROW


def test_only_the_same_run_with_further_cycles_is_taken_up() -> None:
    earlier = Recipe.from_json(json.dumps(asdict(RECIPE)))
    assert earlier == RECIPE
    assert RECIPE.continues(earlier)
    assert replace(RECIPE, cycles=(100, 50, 20)).continues(earlier)
    assert not replace(RECIPE, cycles=(100,)).continues(earlier)
    assert not replace(RECIPE, cycles=(101, 50)).continues(earlier)
    assert not replace(RECIPE, seed=2).continues(earlier)
