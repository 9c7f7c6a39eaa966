"""Weights packed as float16 give the product of the weights, and a token the same bits in any company."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from node.slices.kernels import half, wide
from node.slices.kernels.half import HalfLinear
from node.slices.kernels.linear import DenseLinear

pytestmark = pytest.mark.skipif(
    not half.available(), reason="torch is built without FBGEMM for this processor"
)


def linear(columns: int = 96, rows: int = 208, *, bias: bool = False) -> nn.Linear:
    torch.manual_seed(5)
    return nn.Linear(columns, rows, bias=bias).bfloat16().requires_grad_(False)


def packed(plain: nn.Linear) -> HalfLinear:
    module = HalfLinear(plain)
    half.settle(module)
    return module


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_product_is_that_of_the_weights(dtype: torch.dtype, bias: bool) -> None:
    plain = linear(bias=bias)
    x = torch.randn(1, 7, 96).to(dtype)
    got = packed(plain)(x)
    expected = functional.linear(x.double(), plain.weight.double(), plain.bias.double() if bias else None)
    assert got.dtype is dtype
    off = float((got.double() - expected).norm() / expected.norm())
    assert off < (1e-6 if dtype is torch.float32 else 0.005)


def test_a_token_has_the_same_bits_alone_and_among_others() -> None:
    module = packed(linear(columns=1_100, rows=300))
    x = torch.randn(1, 150, 1_100)
    whole = module(x)
    for start, end in ((0, 1), (1, 9), (9, 70), (149, 150)):
        assert torch.equal(module(x[:, start:end]), whole[:, start:end])


def test_a_large_matrix_is_packed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = linear(rows=300, bias=True)
    whole = packed(plain)
    monkeypatch.setattr(half, "PART_ELEMENTS", 96 * 128)
    parts = packed(plain)
    assert (whole.parts, parts.parts) == (1, 3)
    x = torch.randn(1, 3, 96)
    assert torch.equal(parts(x), whole(x))
    torch.testing.assert_close(parts.weight, plain.weight.float(), rtol=0, atol=2**-25)
    assert parts.packed_bytes == plain.weight.nbytes


def test_numbers_that_float16_does_not_hold_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "has_bfloat16", lambda: False)
    plain = linear()
    assert type(half.dense(plain)) is HalfLinear
    plain.weight[3, 4] = 70_000
    assert type(half.dense(plain)) is DenseLinear


def test_processors_with_bfloat16_arithmetic_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "has_bfloat16", lambda: True)
    assert type(half.dense(linear())) is DenseLinear


def test_weights_that_are_not_numbers_are_left_to_be_found() -> None:
    plain = linear()
    plain.weight[0, 0] = float("nan")
    assert type(half.dense(plain)) is DenseLinear
