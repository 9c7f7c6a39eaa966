"""Logarithm, exponential and hash that give the same bits on every machine. Spec: `specs/sampling.md` §Arithmetic.

Only IEEE 754 double additions, subtractions, multiplications and divisions in a fixed order, and integer operations on
the bits of a double. Library logarithms differ in the last bit between platforms, which would let two tails draw
different tokens. No operation may be fused with the next.
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

Number = TypeVar("Number", bound=np.generic)

BLOCK: Final = 8_192
"""Elements worked on at a time, so that intermediate results stay in the cache; does not change them."""

GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1

LN2_HIGH: Final = float.fromhex("0x1.62e42fee00000p-1")
"""The upper 32 bits of ln 2: its product with a small integer is exact."""
LN2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")
_INVERSE_LN2: Final = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF: Final = float.fromhex("0x1.6a09e667f3bcdp-1")
_LOG_TERMS: Final = 11
_EXP_COEFFICIENTS: Final = tuple(1.0 / math.factorial(k) for k in range(15))
_EXP_LOWEST: Final = -700.0
"""Below this `exp` is 0 by definition, before it would become subnormal."""


def mix_int(word: int) -> int:
    """The finaliser of splitmix64 on one word."""
    word = ((word ^ (word >> 30)) * _MIX_1) & _MASK
    word = ((word ^ (word >> 27)) * _MIX_2) & _MASK
    return word ^ (word >> 31)


def mix(words: Words) -> Words:
    """The finaliser of splitmix64 on each word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX_2)
    return words ^ (words >> np.uint64(31))


def uniform(words: Words) -> Doubles:
    """Each word's upper 53 bits with the last one set, as a fraction: in (0, 1), both ends excluded, exact."""
    return ((words >> np.uint64(11)) | np.uint64(1)).astype(np.float64) * 2.0**-53


def log(x: Doubles) -> Doubles:
    """Natural logarithm of positive normal doubles, within 2 units of the last place."""
    if len(x) > BLOCK:
        return np.concatenate([log(block) for block in _blocks(x)])
    bits = x.view(np.uint64)
    exponent = (bits >> np.uint64(52)).astype(np.int64) - 1022
    mantissa = ((bits & np.uint64((1 << 52) - 1)) | np.uint64(1022 << 52)).view(np.float64)
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    scale = (exponent - low).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = np.full_like(z, 1.0 / (2 * _LOG_TERMS + 1))
    for k in range(_LOG_TERMS - 1, -1, -1):
        series = series * z + 1.0 / (2 * k + 1)
    return scale * LN2_HIGH + (scale * LN2_LOW + 2.0 * s * series)


def exp(x: Doubles) -> Doubles:
    """Exponential of doubles at most 0; 0 below -700. Within 2 units of the last place."""
    if len(x) > BLOCK:
        return np.concatenate([exp(block) for block in _blocks(x)])
    inside = np.maximum(x, _EXP_LOWEST)
    n = np.floor(inside * _INVERSE_LN2 + 0.5)
    r = (inside - n * LN2_HIGH) - n * LN2_LOW
    series = np.full_like(r, _EXP_COEFFICIENTS[-1])
    for coefficient in _EXP_COEFFICIENTS[-2::-1]:
        series = series * r + coefficient
    power = ((n.astype(np.int64) + 1023) << 52).view(np.float64)
    return np.where(x < _EXP_LOWEST, 0.0, series * power)


def words(seed: int, position: int, tokens: npt.NDArray[np.int64]) -> Words:
    """64 random bits for each of `tokens` at `position`: a function of (seed, position, token id) alone."""
    if len(tokens) > BLOCK:
        return np.concatenate([words(seed, position, block) for block in _blocks(tokens)])
    key = mix_int((mix_int((seed + GOLDEN) & _MASK) + GOLDEN * (position + 1)) & _MASK)
    return mix(np.uint64(key) + (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def gumbel(hashed: Words) -> Doubles:
    """Standard Gumbel noise from random words; between -3.61 and 36.74."""
    return -log(-log(uniform(hashed)))


def _blocks(x: npt.NDArray[Number]) -> list[npt.NDArray[Number]]:
    return [x[start : start + BLOCK] for start in range(0, len(x), BLOCK)]
