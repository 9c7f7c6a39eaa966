"""A product over blocks is the product over all, at either width and whatever the block's size."""

from __future__ import annotations

import pytest
import torch

from node.slices.kernels import wide


class Stored:
    """Plain weights as a source."""

    def __init__(self, weight: torch.Tensor, rows_multiple: int) -> None:
        self.weight = weight
        self.out_features, self.in_features = weight.shape
        self.rows_multiple = rows_multiple
        self.parts: list[tuple[int, int]] = []

    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        self.parts.append((start, end))
        into.copy_(self.weight[start:end])


@pytest.mark.parametrize("width", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("block_bytes", "multiple"), [(1, 1), (4096, 1), (20_000, 16), (1 << 30, 64)])
def test_blocks_make_up_the_whole(
    monkeypatch: pytest.MonkeyPatch, width: torch.dtype, block_bytes: int, multiple: int
) -> None:
    monkeypatch.setattr(wide, "WIDTH", width)
    monkeypatch.setattr(wide, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(wide._held, "buffer", None, raising=False)
    random = torch.Generator().manual_seed(2)
    source = Stored(torch.randn(200, 64, generator=random).bfloat16(), multiple)
    x = torch.randn(70, 64, generator=random).bfloat16()
    got = wide.product(x, source)
    expected = x.float() @ source.weight.float().t()
    assert got.dtype is torch.bfloat16
    assert float((got.float() - expected).norm() / expected.norm()) < 0.01
    assert source.parts[0][0] == 0
    assert source.parts[-1][1] == 200
    assert all(start % multiple == 0 for start, _ in source.parts)
    assert [end for _, end in source.parts[:-1]] == [start for start, _ in source.parts[1:]]


def test_memory_is_kept_from_one_product_to_the_next() -> None:
    first = wide.scratch(1_000)
    assert wide.scratch(500).data_ptr() == first.data_ptr()
