"""Muon's step is near orthogonal, and its state survives a round trip."""

from __future__ import annotations

import torch

from scripts.pocket.muon import Muon, orthogonal


def test_the_orthogonal_matrix_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for rows, columns in ((32, 32), (16, 48), (48, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(3, rows, columns)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_a_step_goes_down_and_the_state_comes_back() -> None:
    torch.manual_seed(0)
    weight, target = torch.nn.Parameter(torch.zeros(8, 8)), torch.randn(8, 8)
    first = Muon([weight])
    first.learning_rate = 0.02
    distances = []
    for _ in range(20):
        weight.grad = weight.detach() - target
        first.step()
        distances.append(float((weight.detach() - target).norm()))
    assert distances == sorted(distances, reverse=True)
    second = Muon([weight])
    second.load_state_dict(first.state_dict())
    assert all(
        torch.equal(second.state_dict()[name], average) for name, average in first.state_dict().items()
    )
