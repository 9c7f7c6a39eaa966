"""A draw follows the distribution, is a pure function, and is what the specification's scalar form draws."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.slices import portable
from node.slices.errors import NotFinite
from node.slices.sampling import Logits, draw, logprobs
from scripts.make_sampling_vectors import made_logits, vectors
from wire.types import Sampling

VECTORS = Path(__file__).parents[3] / "specs" / "vectors" / "sampling.json"


def array(*values: float) -> Logits:
    return np.array(values, np.float32)


def scalar_draw(logits: Logits, sampling: Sampling, position: int) -> int:
    """The specification, one token at a time."""
    highest = max(float(x) for x in logits)
    if sampling.temperature == 0:
        return next(i for i, x in enumerate(logits) if float(x) == highest)
    z = {i: (float(x) - highest) / sampling.temperature for i, x in enumerate(logits)}
    kept = sorted(z, key=lambda i: (-z[i], i))
    if sampling.top_k:
        kept = kept[: sampling.top_k]
    weight = dict(enumerate(portable.exp(np.array(list(z.values()))).tolist()))
    if sampling.top_p < 1:
        total = 0.0
        for i in sorted(kept):
            total += weight[i]
        reached, count = 0.0, 0
        for i in kept:
            reached, count = reached + weight[i], count + 1
            if reached >= sampling.top_p * total:
                break
        kept = kept[:count]
    if sampling.min_p:
        kept = [i for i in kept if weight[i] >= sampling.min_p]

    noise = portable.gumbel(portable.words(sampling.seed, position, np.arange(len(logits)))).tolist()
    return max(sorted(kept), key=lambda i: z[i] + noise[i])


def test_the_vectors_are_what_the_code_makes() -> None:
    assert json.loads(VECTORS.read_text()) == vectors()


@pytest.mark.parametrize(
    "case", [case for case in json.loads(VECTORS.read_text())["draws"] if case["vocabulary"] < 1000]
)
def test_the_specification_read_token_by_token_gives_the_vectors(case: dict[str, Any]) -> None:
    fields = {name: case[name] for name in ("temperature", "top_k", "top_p", "min_p", "seed")}
    assert scalar_draw(made_logits(case["vocabulary"]), Sampling(**fields), case["position"]) == case["token"]


Parameters = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.05, 0.7, 1.0, 5.0, 100.0]),
    top_k=st.sampled_from([0, 1, 3, 40, 700, 4_000_000]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 1_200), st.sampled_from([0.0, 0.1, 3.0, 30.0]), Parameters, st.integers(0, 10_000))
def test_leaving_out_what_cannot_win_never_changes_a_draw(
    vocabulary: int, spread: float, sampling: Sampling, position: int
) -> None:
    logits = np.random.default_rng(position).standard_normal(vocabulary).astype(np.float32) * np.float32(
        spread
    )
    logits = np.round(logits, 1)  # so that there are equals
    assert draw(logits, sampling, position) == scalar_draw(logits, sampling, position)


def test_temperature_zero_takes_the_highest_and_the_lowest_id_among_equals() -> None:
    assert draw(array(1, 3, 2, 3), Sampling(), 0) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_chi_square(temperature: float) -> None:
    logits = array(0.0, 1.0, 2.0, -1.0, 0.5, 1.5, -0.5, 2.5)
    weights = np.exp(logits / temperature)
    expected = weights / weights.sum() * 2_000
    for seed in (1, 2):
        drawn = [draw(logits, Sampling(temperature=temperature, seed=seed), n) for n in range(2_000)]
        counts = np.bincount(drawn, minlength=8)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < 24.3  # 7 degrees of freedom, p = 0.001


def test_draws_over_seeds_are_as_good_as_draws_over_positions() -> None:
    logits = array(*[0.0] * 10)
    counts = np.bincount(
        [draw(logits, Sampling(temperature=1.0, seed=s), 5) for s in range(2_000)], minlength=10
    )
    assert float(((counts - 200) ** 2 / 200).sum()) < 27.9  # 9 degrees of freedom, p = 0.001


def test_a_draw_is_a_pure_function_and_leaves_its_logits_alone() -> None:
    logits = made_logits(5_000)
    before = logits.copy()
    sampling = Sampling(temperature=1.0, top_k=500, top_p=0.9, min_p=0.001, seed=3)
    drawn = {draw(logits, sampling, 77) for _ in range(5)}
    assert len(drawn) == 1
    assert np.array_equal(logits, before)
    assert len({draw(logits, sampling, n) for n in range(50)}) > 10


def test_filters_keep_what_they_say() -> None:
    logits = array(*[math.log(p) for p in (0.5, 0.2, 0.2, 0.1)])

    def seen(**options: Any) -> set[int]:
        return {draw(logits, Sampling(temperature=1.0, **options), n) for n in range(400)}

    assert seen() == {0, 1, 2, 3}
    assert seen(top_k=2) == {0, 1}
    assert seen(top_p=0.6) == {0, 1}
    assert seen(top_p=0.0) == {0}
    assert seen(min_p=0.3) == {0, 1, 2}
    assert seen(min_p=1.0) == {0}
    assert seen(top_k=3, top_p=0.75) == {0, 1}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(NotFinite):
        draw(array(1, bad, 2), Sampling(temperature=temperature), 0)
    with pytest.raises(NotFinite):
        draw(array(-math.inf, -math.inf), Sampling(temperature=temperature), 0)


def test_a_token_at_minus_infinity_is_never_drawn_even_at_the_highest_temperature() -> None:
    logits = array(-math.inf, 0.0, -math.inf, 0.0)
    options = Sampling(temperature=100.0, top_k=4, top_p=0.99, min_p=0.0)
    assert {draw(logits, options, n) for n in range(100)} == {1, 3}


def test_a_temperature_next_to_zero_is_the_highest_logit() -> None:
    assert draw(array(1, 3, 2), Sampling(temperature=1e-300), 4) == 1


def test_logprobs_are_those_of_the_plain_softmax_best_first() -> None:
    logits = array(*[math.log(p) for p in (0.1, 0.4, 0.2, 0.3)])
    own, best = logprobs(logits, 2, 3)
    assert own == pytest.approx(math.log(0.2), abs=1e-6)
    assert [token for token, _ in best] == [1, 3, 2]
    assert math.exp(best[0][1]) == pytest.approx(0.4, abs=1e-6)
    assert logprobs(logits, 0, 0)[1] == ()
    assert len(logprobs(logits, 0, 20)[1]) == 4
