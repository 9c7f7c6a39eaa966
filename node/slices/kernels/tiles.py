"""How torch's int4 kernel arranges weights on this machine, and back again.

The arrangement depends on the width of the processor's vectors: rows are taken in blocks, a block is stored column by
column, and the two halves of each byte belong to rows that the kernel works on together. It is not documented, so it is
found out: packing a matrix whose entries say which row they are shows where each row went. A round trip is checked
before it is relied on.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import torch

ROWS_MULTIPLE: Final = 16
"""The kernel takes matrices with a multiple of this many rows."""
MOST_ROWS: Final = 64
"""The longest block; parts of a matrix that begin at a multiple of it can be unpacked alone."""
_BLOCKS: Final = (MOST_ROWS, 32, 16)
"""Rows of a block with AVX-512, AVX2, and anything else."""


class _Order(NamedTuple):
    """The rows of a block whose codes stand in the low and in the high halves of a column's bytes."""

    low: torch.Tensor
    high: torch.Tensor


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Codes `[O, I]` int32 from 0 to 15 to the kernel's tiles, `[O, I / 2]` uint8."""
    packed: torch.Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    return packed


def unpack(tiles: torch.Tensor) -> torch.Tensor:
    """The codes `[O, I]`, uint8, of what `pack` made on this machine."""
    return _unpack(tiles, block())


def _unpack(tiles: torch.Tensor, rows_of_a_block: int) -> torch.Tensor:
    rows, columns = tiles.shape[0], tiles.shape[1] * 2
    codes = torch.empty(rows, columns, dtype=torch.uint8)
    whole = rows // rows_of_a_block * rows_of_a_block
    flat = tiles.reshape(-1)
    at = whole * columns // 2
    if whole:
        _blocks(flat[:at], codes[:whole].view(-1, rows_of_a_block, columns))
    if whole < rows:
        _blocks(flat[at:], codes[whole:].view(1, rows - whole, columns))
    return codes


def _blocks(flat: torch.Tensor, into: torch.Tensor) -> None:
    """Write blocks of rows to `into`, `[blocks, rows, columns]`."""
    blocks, rows, columns = into.shape
    pairs = flat.view(blocks, columns, rows // 2).transpose(1, 2)
    order = _order(rows)
    into[:, order.low] = pairs & 15
    into[:, order.high] = pairs >> 4


@cache
def _order(block: int) -> _Order:
    rows = torch.arange(block, dtype=torch.int32).unsqueeze(1).expand(block, 2)
    low, high = torch.zeros(2, block // 2, dtype=torch.int64)
    for shift in (0, 4):
        column = pack((rows >> shift & 15).contiguous()).reshape(-1)[: block // 2].long()
        low += (column & 15) << shift
        high += (column >> 4) << shift
    return _Order(low, high)


@cache
def order() -> torch.Tensor | None:
    """The rows of a block in the order of its low halves and then its high ones; None if that is their own."""
    rows = torch.cat(_order(block()))
    return None if torch.equal(rows, torch.arange(block())) else rows


@cache
def block() -> int:
    """The rows of a block on this machine. Raises `RuntimeError` when no arrangement fits."""
    codes = torch.arange(2 * MOST_ROWS + ROWS_MULTIPLE).unsqueeze(1) * torch.arange(1, 9) * 37 % 113 % 16
    for rows in _BLOCKS:
        if torch.equal(_unpack(pack(codes.int()), rows), codes.byte()):
            return rows
    raise RuntimeError("torch arranges int4 weights in a way this program does not know; serve int8 instead")
