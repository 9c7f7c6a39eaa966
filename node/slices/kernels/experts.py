"""Mixture-of-experts layers with packed weights.

transformers keeps the experts of a layer as one parameter of three dimensions, which whoever looks for linear modules
walks past. Here each expert's matrices become linear modules of their own, and a forward that is registered under
transformers' interface for experts computes with them: routing, gates and biases stay those of the family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

IMPLEMENTATION: Final = "lamella_packed"


def is_experts(module: nn.Module) -> bool:
    """Whether a module holds experts in the common layout of transformers."""
    return all(
        hasattr(module, name)
        for name in ("has_gate", "has_bias", "is_transposed", "num_experts", "down_proj", "config")
    )


def pack(experts: Any, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace the weights of all experts of one layer by linear modules that `make` returns."""
    for name in ("gate_up_proj" if experts.has_gate else "up_proj", "down_proj"):
        stacked = experts._parameters.pop(name)
        rows = stacked.transpose(1, 2) if experts.is_transposed else stacked
        setattr(experts, name, nn.ModuleList(make(_linear(rows[index])) for index in range(len(rows))))
    experts.config._experts_implementation = IMPLEMENTATION


def forward(
    self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Send each token through its experts and add up what they answer.

    Args:
        self: the family's module, after `pack`.
        hidden_states: `[T, D]`.
        top_k_index: `[T, K]`, the experts of each token.
        top_k_weights: `[T, K]`, how much each counts.

    Returns: `[T, D]`.
    """
    tokens, chosen = top_k_index.shape
    answers = hidden_states.new_zeros(tokens * chosen, hidden_states.shape[-1])
    experts = top_k_index.reshape(-1)
    for index in torch.unique(experts).tolist():
        if index >= self.num_experts:
            continue
        places = (experts == index).nonzero().squeeze(1)
        answers[places] = _expert(self, index, hidden_states[places // chosen])
    weighted = answers.view(tokens, chosen, -1) * top_k_weights.to(answers.dtype).unsqueeze(-1)
    return weighted.sum(dim=1).to(hidden_states.dtype)


def _expert(self: Any, index: int, x: torch.Tensor) -> torch.Tensor:
    first = self.gate_up_proj if self.has_gate else self.up_proj
    x = first[index](x)
    if self.has_bias:
        x = x + (self.gate_up_proj_bias if self.has_gate else self.up_proj_bias)[index]
    x = self._apply_gate(x) if self.has_gate else self.act_fn(x)
    x = self.down_proj[index](x)
    if self.has_bias:
        x = x + self.down_proj_bias[index]
    out: torch.Tensor = self.post_expert_norm(x) if self.has_post_expert_norm else x
    return out


def _linear(weight: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return linear


ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, forward)
