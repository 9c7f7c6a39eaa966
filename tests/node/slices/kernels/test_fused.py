"""Joined projections give each caller its own part, whatever is called in which order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from node.slices.kernels import fused
from node.slices.kernels.linear import DenseLinear

NAMES = ("q_proj", "k_proj", "v_proj")


def attention(*, biases: tuple[bool, bool, bool] = (False, False, False), v_inputs: int = 32) -> Any:
    torch.manual_seed(1)
    module = nn.Module()
    for name, rows, bias in zip(NAMES, (48, 16, 16), biases, strict=True):
        columns = v_inputs if name == "v_proj" else 32
        setattr(module, name, nn.Linear(columns, rows, bias=bias).bfloat16().requires_grad_(False))
    return module


def inputs(seed: int) -> torch.Tensor:
    return torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(seed)).bfloat16()


@pytest.mark.parametrize("biases", [(False, False, False), (True, True, True), (True, False, True)])
def test_each_part_is_what_the_module_alone_gives(biases: tuple[bool, bool, bool]) -> None:
    alone, joined = attention(biases=biases), attention(biases=biases)
    assert fused.join(joined, NAMES, DenseLinear)
    for seed in (1, 2):
        x = inputs(seed)
        for name in NAMES:
            expected = getattr(alone, name)(x).float()
            got = getattr(joined, name)(x).float()
            assert float((got - expected).norm() / expected.norm()) < 0.006


def test_the_product_is_computed_once_for_one_input() -> None:
    module = attention()
    calls: list[int] = []

    class Counted(DenseLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return super().forward(x)

    fused.join(module, NAMES, Counted)
    x = inputs(1)
    for name in NAMES:
        getattr(module, name)(x)
    assert len(calls) == 1
    assert module.q_proj.joined._input is None


def test_inputs_in_turn_or_a_part_taken_twice_are_computed_anew() -> None:
    module = attention()
    fused.join(module, NAMES, DenseLinear)
    one, two = inputs(1), inputs(2)
    parts = [
        module.q_proj(one),
        module.q_proj(two),
        module.k_proj(one),
        module.q_proj(one),
        module.q_proj(one),
    ]
    assert torch.equal(parts[0], parts[3])
    assert torch.equal(parts[0], parts[4])
    assert not torch.equal(parts[0], parts[1])


@pytest.mark.parametrize("missing", ["another size", "not linear", "absent", "float32"])
def test_modules_that_do_not_belong_together_are_left_alone(missing: str) -> None:
    module = attention(v_inputs=64 if missing == "another size" else 32)
    if missing == "not linear":
        module.v_proj = nn.Identity()
    elif missing == "absent":
        del module.v_proj
    elif missing == "float32":
        module.float()
    before = dict(module.named_children())
    assert not fused.join(module, NAMES, DenseLinear)
    assert dict(module.named_children()) == before
