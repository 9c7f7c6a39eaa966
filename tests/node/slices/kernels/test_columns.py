"""A product in the order of the tiles is the product of the weights, whatever the order and the number of rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from node.slices.kernels import columns, tiles, wide
from node.slices.kernels.linear import Int4Linear


def assert_near(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """As near as the width of this processor's products: an order or a scale that is wrong is off by the whole."""
    assert float((got - wanted).norm() / wanted.norm()) < max(1e-5, 2 * torch.finfo(wide.WIDTH).eps)


@pytest.mark.parametrize("rows", [64, 208, 16, 640])
@pytest.mark.parametrize("group", [32, 128])
def test_the_product_is_that_of_the_weights(rows: int, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "BLOCK_BYTES", 4 * 256 * 64 * 3)
    torch.manual_seed(2)
    module = Int4Linear(nn.Linear(256, rows, bias=False).bfloat16().requires_grad_(False), group)
    x = torch.randn(70, 256)
    exact = torch.empty(rows, 256)
    module.widen(0, rows, exact)
    got = columns.product(x, module)
    assert got.dtype is torch.float32
    assert_near(got, x @ exact.t())


def test_tiles_in_another_order_than_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    block = 32
    torch.manual_seed(3)
    order = torch.cat((torch.arange(0, block, 2), torch.arange(1, block, 2)))
    codes = torch.randint(0, 16, (2 * block, 64))
    by_tile = codes.view(2, block, 64)[:, order].transpose(1, 2).to(torch.uint8)
    packed = by_tile[..., : block // 2] | by_tile[..., block // 2 :] << 4
    scales = torch.rand(2, 2 * block, 2)

    class Source:
        in_features, out_features, rows_multiple, group = 64, 2 * block, 16, 32
        tiles = packed.reshape(2 * block, 32)
        scale_and_zero = scales

        def widen(self, start: int, end: int, into: torch.Tensor) -> None:
            raise AssertionError("there are only whole blocks")

    monkeypatch.setattr(tiles, "block", lambda: block)
    monkeypatch.setattr(tiles, "order", lambda: order)
    of_columns = scales.repeat_interleave(32, dim=0)
    weights = (codes.t() - 8) * of_columns[..., 0] + of_columns[..., 1]
    x = torch.randn(5, 64)
    assert_near(columns.product(x, Source()), x @ weights)
