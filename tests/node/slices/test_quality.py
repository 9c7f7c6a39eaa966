"""What is measured is what its name says, and reading in stages is reading at once."""

from __future__ import annotations

import math

import pytest
import torch

from node.slices import quality
from node.slices.quality import Reader
from node.store import checkpoint
from wire.tensors import WeightFormat

POCKET = checkpoint.resolve(checkpoint.POCKET)
WINDOWS = [[5, 80, 7, 300, 12], [9, 4, 77]]


def test_a_model_read_in_stages_gives_the_logits_of_the_whole() -> None:
    seen: list[float] = []
    found = [
        quality.logits(
            Reader(folder=POCKET, num_layers=24, weights=WeightFormat.INT8, stages=stages),
            WINDOWS,
            progress=seen.append,
        )[0]
        for stages in (1, 3)
    ]
    assert found[0].shape == (6, 1024)
    assert torch.equal(*found)
    assert seen[:6] == [pytest.approx((index + 1) / 6) for index in range(6)]
    assert seen[6:] == sorted(seen[6:])
    assert seen[-1] == pytest.approx(1.0)


def test_windows_are_read_from_an_empty_cache() -> None:
    reader = Reader(folder=POCKET, num_layers=24)
    both, second = (quality.logits(reader, windows)[0] for windows in (WINDOWS, WINDOWS[1:]))
    assert torch.equal(both[4:], second)


@pytest.mark.parametrize(
    ("budget", "stages"), [(1000, 1), (999, 2), (334, 3), (100, 10), (99, None), (0, None)]
)
def test_a_model_that_does_not_fit_is_read_in_as_many_stages_as_do(budget: int, stages: int | None) -> None:
    assert quality.stages(10, 1000, budget) == stages


def test_the_measures_of_equal_logits_say_so() -> None:
    logits = torch.randn(5, 9)
    assert quality.relative_error(logits, logits) == 0
    assert quality.top1_agreement(logits, logits) == 1


def test_the_measures_are_what_they_are_called() -> None:
    one, other = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 3.0], [0.0, 4.0]])
    assert quality.relative_error(one, other) == pytest.approx(math.sqrt(18) / 5)
    assert quality.top1_agreement(one, other) == 0.5
    assert quality.perplexity(torch.zeros(3, 8), [1, 2, 3]) == pytest.approx(8)
    assert math.isfinite(quality.perplexity(torch.tensor([[0.0, 1e30]]), [0]))
