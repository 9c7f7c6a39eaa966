"""Codes and scales: small errors, nothing clipped, the same on every run, and what cannot be divided is refused."""

from __future__ import annotations

import pytest
import torch

from node.slices.kernels import quantise


def weights(rows: int = 48, columns: int = 256, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).bfloat16()


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


def test_eight_bits_are_near_and_within_half_a_step() -> None:
    weight = weights()
    packed = quantise.to_int8(weight)
    assert packed.codes.dtype is torch.int8
    assert packed.scale.dtype is torch.bfloat16
    assert error(quantise.from_int8(packed), weight) < 0.01
    exact = packed.codes.float() * packed.scale.float().unsqueeze(1)
    assert bool(((exact - weight.float()).abs() <= packed.scale.float().unsqueeze(1) * 0.5001).all())


@pytest.mark.parametrize(("group", "most"), [(32, 0.085), (64, 0.1), (128, 0.11)])
def test_four_bits_are_near_and_nearer_with_smaller_groups(group: int, most: float) -> None:
    weight = weights()
    packed = quantise.to_int4(weight, group)
    assert packed.scale.shape == packed.zero.shape == (48, 256 // group)
    assert 0 <= int(packed.codes.min()) < int(packed.codes.max()) <= 15
    assert error(quantise.from_int4(packed), weight) < most


def test_the_order_of_rows_and_what_else_is_there_do_not_matter() -> None:
    weight = weights()
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    whole, mixed = quantise.to_int4(weight, 32), quantise.to_int4(weight[order], 32)
    assert torch.equal(whole.codes[order], mixed.codes)
    assert torch.equal(quantise.to_int8(weight).codes[order], quantise.to_int8(weight[order]).codes)


@pytest.mark.parametrize("value", [0.0, 1e-38, 3.0e38])
def test_constant_rows_come_back(value: float) -> None:
    weight = torch.full((16, 64), value).bfloat16()
    assert torch.isfinite(quantise.from_int8(quantise.to_int8(weight)).float()).all()
    if value == 0.0:
        assert not quantise.from_int8(quantise.to_int8(weight)).any()
        assert not quantise.from_int4(quantise.to_int4(weight, 32)).any()


def test_rows_that_do_not_divide_into_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="100 weights do not divide into groups of 32"):
        quantise.to_int4(weights(16, 100), 32)
