"""A traced tensor says where it came from, and whether its rows are still rows."""

from __future__ import annotations

from pathlib import Path

import torch

from node.slices.kernels.coded import Origin
from node.slices.kernels.traced import Mixed, Traced, trace


def traced(name: str, *shape: int) -> Traced:
    return trace(shape, Origin(Path("f"), name))


def names(tensor: torch.Tensor) -> set[str]:
    assert isinstance(tensor, Traced)
    return {origin.name for origin in tensor.origins}


def test_rows_that_are_moved_about_stay_rows_of_all_they_came_from() -> None:
    joined = torch.cat([traced("a", 3, 8, 16), traced("b", 3, 8, 16)], dim=1)[2]
    assert names(joined) == {"a", "b"}
    assert joined.shape == (16, 16)
    assert type(joined) is Traced
    assert not joined.turned
    assert joined.t().turned  # type: ignore[attr-defined]  # the dispatcher's own subclass


def test_what_is_computed_is_mixed_and_stays_so() -> None:
    x = traced("a", 8, 16)
    for made in (x * 2, x.view(16, 8), x[:, :4], x.float()):
        assert type(made) is Mixed
        assert type(torch.cat([made, made])[1:]) is Mixed
        assert names(made[2:]) == {"a"}
    assert x.float().dtype is torch.float32
    assert (x * 2).shape == (8, 16)


def test_rows_among_what_is_mixed_are_mixed() -> None:
    x, y = traced("a", 8, 16), traced("b", 8, 16)
    joined = torch.cat([x, y + 1])
    assert type(joined) is Mixed
    assert names(joined) == {"a", "b"}


def test_nothing_takes_memory() -> None:
    big = traced("a", 1 << 20, 1 << 12)
    assert (big + 1).shape == big.shape
    assert big.float().shape == big.shape
