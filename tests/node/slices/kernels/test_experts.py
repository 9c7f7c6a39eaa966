"""Packed experts answer as transformers' own code does with the same weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.integrations.moe import use_experts_implementation

from node.slices.kernels import experts
from node.slices.kernels.linear import DenseLinear, Int8Linear

EXPERTS, HIDDEN, INNER = 6, 64, 96


def layer(**flags: bool) -> Any:
    """Experts in transformers' common layout, computing in bfloat16."""

    class Experts(torch.nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            transposed = flags.get("is_transposed", False)
            first = 2 * INNER if flags.get("has_gate", True) else INNER
            self.num_experts = EXPERTS
            self.act_fn = torch.nn.SiLU()
            name = "gate_up_proj" if flags.get("has_gate", True) else "up_proj"
            shapes = {name: (first, HIDDEN), "down_proj": (HIDDEN, INNER)}
            for key, (rows, columns) in shapes.items():
                shape = (EXPERTS, columns, rows) if transposed else (EXPERTS, rows, columns)
                self.register_parameter(key, torch.nn.Parameter(torch.randn(shape) * 0.1))
                if flags.get("has_bias", False):
                    self.register_parameter(f"{key}_bias", torch.nn.Parameter(torch.randn(EXPERTS, rows)))

        def forward(self, *_: Any) -> None:
            pytest.fail("the implementation was to run in its place")

    torch.manual_seed(6)
    wrap: Any = use_experts_implementation
    made = wrap(**flags)(Experts)(SimpleNamespace(_experts_implementation="batched_mm"))
    return made.bfloat16().requires_grad_(False)


@pytest.mark.parametrize(
    "flags",
    [{}, {"has_gate": False}, {"is_transposed": True}, {"is_transposed": True, "has_bias": True}],
    ids=["plain", "no gate", "transposed", "with biases"],
)
@pytest.mark.parametrize("kind", [DenseLinear, Int8Linear])
def test_the_answer_is_that_of_the_common_code(flags: dict[str, bool], kind: type) -> None:
    module = layer(**flags)
    random = torch.Generator().manual_seed(7)
    x = torch.randn(9, HIDDEN, generator=random).bfloat16()
    chosen = torch.stack([torch.randperm(EXPERTS, generator=random)[:2] for _ in range(9)])
    counts = torch.rand(9, 2, generator=random).bfloat16()
    expected = module(x, chosen, counts).float()
    assert experts.is_experts(module)
    experts.pack(module, kind)
    got = module(x, chosen, counts).float()
    assert float((got - expected).norm() / expected.norm()) < 0.02
    assert not [name for name, _ in module.named_parameters() if name in ("gate_up_proj", "down_proj")]


def test_tokens_that_go_to_no_expert_here_add_nothing() -> None:
    module = layer()
    experts.pack(module, DenseLinear)
    x = torch.randn(2, HIDDEN).bfloat16()
    out = module(x, torch.tensor([[EXPERTS], [0]]), torch.ones(2, 1).bfloat16())
    assert not out[0].any()
    assert out[1].any()
