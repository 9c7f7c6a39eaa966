"""Weights to few bits and back: pure functions, the same result on every machine.

Only elementwise IEEE 754 arithmetic in float32, comparisons and rounding half to even, so no kernel's order of
summation can show. Scales and zero points are rounded to bfloat16 *before* the weights are divided by them: what is
stored is what was divided by, and the rounding of a scale costs nothing. Not here: how a kernel wants its bits
arranged (`linear`).
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, runtime_checkable

import torch

INT8_MOST: Final = 127
INT4_MOST: Final = 15
INT4_MIDDLE: Final = 8
"""The code that stands for a group's zero point, as torch's int4 kernel has it: `(code - 8) * scale + zero`."""
_ONE_UP: Final = 1 + 2.0**-7
"""A bfloat16 has 8 significant bits: a number times this, rounded, is never below the number."""


class Int8(NamedTuple):
    """Rows of 8-bit weights: `codes * scale`."""

    codes: torch.Tensor
    """`[O, I]` int8, from -127 to 127."""
    scale: torch.Tensor
    """`[O]` bfloat16, above zero."""


class Int4(NamedTuple):
    """Rows of 4-bit weights in groups: `(codes - 8) * scale + zero`."""

    codes: torch.Tensor
    """`[O, I]` int32, from 0 to 15."""
    scale: torch.Tensor
    """`[O, I / G]` bfloat16, above zero."""
    zero: torch.Tensor
    """`[O, I / G]` bfloat16."""


@runtime_checkable
class Stored(Protocol):
    """Weights `[O, I]` that were quantised before: their codes are given as they are, and not computed again."""

    def as_int8(self) -> Int8:
        """The codes and scales of 8 bits. Raises `BadCheckpoint` when they are of another format."""

    def as_int4(self, group: int) -> Int4:
        """The codes, scales and zero points of 4 bits. Raises `BadCheckpoint` when they are of another format."""


def to_int8(weight: torch.Tensor) -> Int8:
    """Round each row of `[O, I]` to 255 levels that are symmetric around zero."""
    if isinstance(weight, Stored):
        return weight.as_int8()
    full = weight.float()
    scale = _scale(full.abs().amax(dim=1) / INT8_MOST)
    codes = torch.round(full / scale.float().unsqueeze(1)).clamp_(-INT8_MOST, INT8_MOST)
    return Int8(codes.to(torch.int8), scale)


def from_int8(packed: Int8) -> torch.Tensor:
    """The weights `[O, I]` that the codes stand for, bfloat16."""
    return packed.codes.to(torch.bfloat16) * packed.scale.unsqueeze(1)


def to_int4(weight: torch.Tensor, group: int) -> Int4:
    """Round each group of `group` weights in a row of `[O, I]` to 16 levels between its least and its greatest.

    Raises `ValueError` when a row does not divide into groups.
    """
    if isinstance(weight, Stored):
        return weight.as_int4(group)
    rows, columns = weight.shape
    if columns % group:
        raise ValueError(f"rows of {columns} weights do not divide into groups of {group}")
    full = weight.float().view(rows, columns // group, group)
    low, high = full.amin(dim=2), full.amax(dim=2)
    scale = _scale((high - low) / INT4_MOST)
    zero = (low + INT4_MIDDLE * scale.float()).to(torch.bfloat16)
    steps = (full - zero.float().unsqueeze(2)) / scale.float().unsqueeze(2)
    codes = (torch.round(steps) + INT4_MIDDLE).clamp_(0, INT4_MOST)
    return Int4(codes.to(torch.int32).view(rows, columns), scale, zero)


def from_int4(packed: Int4) -> torch.Tensor:
    """The weights `[O, I]` that the codes stand for, bfloat16."""
    rows, columns = packed.codes.shape
    groups = packed.scale.shape[1]
    steps = packed.codes.view(rows, groups, columns // groups).to(torch.bfloat16) - INT4_MIDDLE
    full = steps * packed.scale.unsqueeze(2) + packed.zero.unsqueeze(2)
    return full.view(rows, columns)


def _scale(exact: torch.Tensor) -> torch.Tensor:
    """A scale in bfloat16 that is not below the exact one, so that nothing is clipped; 1 where all weights are zero."""
    rounded = exact.to(torch.bfloat16)
    enough = torch.where(rounded.float() < exact, (exact * _ONE_UP).to(torch.bfloat16), rounded)
    return torch.where(enough > 0, enough, torch.ones_like(enough))
