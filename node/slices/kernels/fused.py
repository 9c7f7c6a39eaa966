"""One product for linear modules that read the same input: a token pays for one kernel instead of two or three.

The model's own code still calls each projection by its name. The first call computes all of them, the others take
their part. That two calls mean the same input is seen from the tensor being the same object, which is held until the
last part is taken; any other input is computed anew, so no order of calls gives a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import nn

SIBLINGS: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of modules that read the same input in the families that have all of them."""
MOST_JOINED: Final = 1 << 22
"""Native matrices of more weights together stay apart: each alone keeps memory busy, and joining copies them."""


class Joined(nn.Module):
    """The product of several linear modules, and who has not taken its part yet."""

    def __init__(self, product: nn.Module, sizes: Sequence[int]) -> None:
        super().__init__()
        self.product = product
        self.sizes = list(sizes)
        self._input: torch.Tensor | None = None
        self._parts: list[torch.Tensor | None] = []

    def take(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """Part `index` of the product with `x`."""
        part = self._parts[index] if x is self._input else None
        if part is None:
            self._input = x
            self._parts = list(self.product(x).split(self.sizes, dim=-1))
            part = self._parts[index]
            if part is None:
                raise RuntimeError("a product without its parts")
        self._parts[index] = None
        if not any(one is not None for one in self._parts):
            self._input = None
        return part

    def forget(self) -> None:
        """Let go of the input and what was not taken."""
        self._input, self._parts = None, []


class Part(nn.Module):
    """Stands where one of the joined modules stood."""

    def __init__(self, joined: Joined, index: int, in_features: int) -> None:
        super().__init__()
        self.joined = joined
        self.index = index
        self.in_features = in_features
        self.out_features = joined.sizes[index]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., I]` to `[..., O]`."""
        return self.joined.take(x, self.index)


def join(parent: nn.Module, names: Sequence[str], make: Callable[[nn.Linear], nn.Module]) -> bool:
    """Join the named children of `parent` if all are plain linear modules of one input size; says whether it did."""
    linears = [child for name in names if type(child := getattr(parent, name, None)) is nn.Linear]
    kinds = {(one.in_features, one.weight.dtype) for one in linears}
    if len(linears) < len(names) or len(kinds) > 1 or linears[0].weight.dtype is not torch.bfloat16:
        return False
    rows = sum(one.out_features for one in linears)
    whole = nn.Linear(linears[0].in_features, rows, bias=False, device="meta")
    weights: list[torch.Tensor] = [one.weight for one in linears]
    whole.weight = nn.Parameter(torch.cat(weights), requires_grad=False)
    if any(one.bias is not None for one in linears):
        biases: list[torch.Tensor] = [
            one.bias if one.bias is not None else one.weight.new_zeros(one.out_features) for one in linears
        ]
        whole.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    joined = Joined(make(whole), [one.out_features for one in linears])
    for index, name in enumerate(names):
        setattr(parent, name, Part(joined, index, whole.in_features))
    return True
