"""Products of many tokens with 4-bit weights, widened in the order in which torch's tiles hold them.

A tile has the codes of a block of rows column by column, which is the transposed block as a matrix product wants it:
nothing has to be moved to where a row would have it. What is left over at the end of a matrix is widened row by row.
"""

from __future__ import annotations

from typing import Protocol

import torch

from node.slices.kernels import quantise, tiles, wide


class Source(wide.Source, Protocol):
    """4-bit weights in tiles."""

    group: int
    tiles: torch.Tensor
    """`[O, I / 2]` uint8."""
    scale_and_zero: torch.Tensor
    """`[I / G, O, 2]`."""


def product(x: torch.Tensor, source: Source) -> torch.Tensor:
    """`[T, I]` times the transposed weights, `[T, O]` in `x`'s dtype, summed at `wide.WIDTH` or better."""
    given, states = x.dtype, x.to(wide.WIDTH)
    rows, columns = source.out_features, source.in_features
    out = torch.empty(states.shape[0], rows, dtype=wide.WIDTH)
    block = tiles.block()
    count = rows // block
    whole = count * block
    packed = source.tiles.reshape(-1)[: whole * columns // 2].view(count, columns, block // 2)
    scales = source.scale_and_zero[:, :whole].view(columns // source.group, count, block, 2)
    step = max(1, wide.BLOCK_BYTES // (wide.WIDTH.itemsize * columns * block))
    for start in range(0, count, step):
        end = min(start + step, count)
        weights = _widened(packed[start:end], scales[:, start:end], source.group)
        parts = torch.matmul(states, weights).transpose(0, 1)
        into = out[:, start * block : end * block].view(-1, end - start, block)
        order = tiles.order()
        if order is None:
            into.copy_(parts)
        else:
            into[..., order] = parts
    if whole < rows:
        wide.multiply_rows(states, source, whole, rows, out)
    return out.to(given)


def _widened(packed: torch.Tensor, scales: torch.Tensor, group: int) -> torch.Tensor:
    """Weights `[B, I, R]` of B blocks of R rows, in the rows' order within a tile.

    Args:
        packed: `[B, I, R / 2]`.
        scales: `[I / G, B, R, 2]`, in the rows' own order.
        group: G.
    """
    blocks, columns, half = packed.shape
    weights = wide.scratch(blocks * columns * half * 2).view(blocks, columns, half * 2)
    weights[..., :half].copy_(packed & 15)
    weights[..., half:].copy_(packed >> 4)
    order = tiles.order()
    if order is not None:
        scales = scales[:, :, order]
    of_blocks = scales.to(wide.WIDTH).permute(1, 0, 3, 2)
    scale = of_blocks[:, :, :1].contiguous()
    zero = of_blocks[:, :, 1:] - quantise.INT4_MIDDLE * scale
    grouped = weights.view(blocks, columns // group, group, half * 2)
    torch.addcmul(zero, grouped, scale, out=grouped)
    return weights
