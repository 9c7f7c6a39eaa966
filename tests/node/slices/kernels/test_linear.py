"""Each kind of linear module computes with the weights it says it has, for any number of tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from node.slices.kernels.linear import DenseLinear, Int4Linear, Int8Linear, KernelLinear

KINDS: dict[str, Callable[[nn.Linear], KernelLinear]] = {
    "dense": DenseLinear,
    "int8": Int8Linear,
    "int4-32": lambda linear: Int4Linear(linear, 32),
    "int4-64": lambda linear: Int4Linear(linear, 64),
    "int4-128": lambda linear: Int4Linear(linear, 128),
}


def linear(columns: int, rows: int, *, bias: bool) -> nn.Linear:
    torch.manual_seed(3)
    plain = nn.Linear(columns, rows, bias=bias)
    plain.bfloat16().requires_grad_(False)
    return plain


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, plain: nn.Linear) -> KernelLinear:
    return KINDS[kind](plain)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 4, 5, 12, 13, 16, 17, 64, 65, 200])
def test_the_product_is_that_of_the_weights_and_the_bias(kind: str, tokens: int, bias: bool) -> None:
    plain = linear(256, 208, bias=bias)
    module = make(kind, plain)
    x = torch.randn(1, tokens, 256).bfloat16()
    with torch.inference_mode():
        got = module(x)
    expected = functional.linear(x.float(), module.weight.float(), plain.bias.float() if bias else None)
    assert got.shape == (1, tokens, 208)
    assert got.dtype is torch.bfloat16
    assert float((got.float() - expected).norm() / expected.norm()) < 0.006


@pytest.mark.parametrize(
    ("name", "most"), [("dense", 0.0), ("int8", 0.01), ("int4-32", 0.09), ("int4-128", 0.12)]
)
def test_the_weights_are_near_those_of_the_checkpoint(name: str, most: float) -> None:
    plain = linear(256, 208, bias=False)
    off = (make(name, plain).weight.float() - plain.weight.float()).norm() / plain.weight.float().norm()
    assert float(off) <= most


def test_fewer_bits_take_less_memory() -> None:
    plain = linear(256, 256, bias=False)
    sizes = [
        sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        for module in (make(name, plain) for name in ("dense", "int8", "int4-32", "int4-128"))
    ]
    assert sizes == [256 * 256 * 2, 256 * 256 + 512, 128 * 256 + 8 * 1024, 128 * 256 + 2 * 1024]


def test_a_matrix_of_many_rows_is_packed_in_parts_as_it_is_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = linear(64, 1360, bias=False)
    parts = [make("int4-32", plain), make("int8", plain)]
    monkeypatch.setattr("node.slices.kernels.linear._in_parts", lambda weight: (weight,))
    for part, whole in zip(parts, (make("int4-32", plain), make("int8", plain)), strict=True):
        for one, other in zip(part.buffers(), whole.buffers(), strict=True):
            assert torch.equal(one, other)
