"""Muon: momentum whose step is the nearest orthogonal matrix, for the matrices inside the blocks.

After Keller Jordan's description of it (2024): Nesterov momentum, then five Newton-Schulz steps of a quintic.
Matrices of one shape step together as one batched product. AdamW alone learned this corpus about ten times slower.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import torch
from torch import Tensor

_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_STEPS: Final = 5


class Muon:
    """The optimiser of all `matrices`; `learning_rate` is set by the caller before each step."""

    def __init__(self, matrices: list[Tensor], *, momentum: float = 0.95) -> None:
        self.learning_rate = 0.0
        self._momentum = momentum
        self._groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for matrix in matrices:
            self._groups[tuple(matrix.shape)].append(matrix)
        self._averages = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    @torch.no_grad()
    def step(self) -> None:
        """Move every matrix by one step along its gradient."""
        for shape, group in self._groups.items():
            gradients = torch.stack([matrix.grad for matrix in group if matrix.grad is not None])
            average = self._averages[shape]
            average.lerp_(gradients, 1 - self._momentum)
            update = orthogonal(gradients.lerp(average, self._momentum))
            update *= max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, change in zip(group, update, strict=True):
                matrix.add_(change, alpha=-self.learning_rate)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running averages, by shape."""
        return {"x".join(map(str, shape)): average for shape, average in self._averages.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        for shape, average in self._averages.items():
            average.copy_(state["x".join(map(str, shape))])


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest orthogonal matrix to each of `matrices` [N, rows, columns].

    Singular values end between 0.7 and 1.2, which is near enough.
    """
    x: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    a, b, c = _QUINTIC
    for _ in range(_STEPS):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    return x.transpose(1, 2) if tall else x
