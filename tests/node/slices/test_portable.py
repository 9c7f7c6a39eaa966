"""Arithmetic that is the same everywhere, against Python's own and against a scalar form of the specification."""

from __future__ import annotations

import math

import numpy as np
import pytest

from node.slices import portable


def ulps(found: portable.Doubles, expected: portable.Doubles) -> float:
    return float((np.abs(found - expected) / np.spacing(np.abs(expected))).max())


@pytest.mark.parametrize("low", [1e-300, 1e-16, 1e-3, 0.999_999])
def test_the_logarithm_is_within_two_units_of_the_last_place(low: float) -> None:
    x = low + (1 - low) * np.random.default_rng(1).random(20_000) ** 8
    assert ulps(portable.log(x[x < 1]), np.log(x[x < 1])) <= 2


def test_the_exponential_is_within_two_units_of_the_last_place_and_zero_below_its_range() -> None:
    x = -(np.random.default_rng(2).random(20_000) ** 3) * 699
    assert ulps(portable.exp(x), np.exp(x)) <= 2
    assert portable.exp(np.array([0.0, -700.5, -math.inf])).tolist() == [1.0, 0.0, 0.0]


def test_working_in_blocks_changes_nothing() -> None:
    x = np.random.default_rng(3).random(3 * portable.BLOCK + 5) * 0.9 + 0.05
    tokens = np.arange(len(x))
    for block in (slice(0, 7), slice(portable.BLOCK - 3, portable.BLOCK + 3), slice(-4, None)):
        assert np.array_equal(portable.log(x)[block], portable.log(x[block]))
        assert np.array_equal(portable.exp(-x)[block], portable.exp(-x[block]))
        assert np.array_equal(portable.words(5, 6, tokens)[block], portable.words(5, 6, tokens[block]))


def test_uniforms_exclude_both_ends_and_keep_53_bits() -> None:
    ends = portable.uniform(np.array([0, 2**64 - 1], np.uint64))
    assert ends.tolist() == [2.0**-53, 1 - 2.0**-53]
    noise = portable.gumbel(np.array([0, 2**64 - 1], np.uint64))
    assert -3.61 < noise[0] < -3.6
    assert 36.73 < noise[1] < 36.74


def test_the_hash_of_one_word_and_of_many_agree_with_splitmix64() -> None:
    # The first outputs of splitmix64 seeded with 0, from its reference implementation.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    states = [(n * portable.GOLDEN) % 2**64 for n in (1, 2, 3)]
    assert [portable.mix_int(state) for state in states] == expected
    assert portable.mix(np.array(states, np.uint64)).tolist() == expected


def test_noise_is_a_function_of_seed_position_and_token_alone() -> None:
    def scalar(seed: int, position: int, token: int) -> int:
        mask = 2**64 - 1
        key = portable.mix_int((seed + portable.GOLDEN) & mask)
        key = portable.mix_int((key + portable.GOLDEN * (position + 1)) & mask)
        return portable.mix_int((key + portable.GOLDEN * (token + 1)) & mask)

    tokens = np.array([0, 1, 17, 3_999_999])
    for seed, position in ((0, 0), (5, 9), (2**64 - 1, 2**24)):
        assert portable.words(seed, position, tokens).tolist() == [
            scalar(seed, position, int(t)) for t in tokens
        ]
