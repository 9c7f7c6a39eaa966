"""Products with many tokens: weights of few bits are widened block by block and multiplied at full width.

A block fits the processor's cache, so that widened weights never travel to memory. The width is bfloat16 on processors
that multiply it in hardware and float32 on all others, where torch's bfloat16 product takes three times as long.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol

import torch

BLOCK_BYTES: Final = 4 << 20
"""Of widened weights at a time."""


class Source(Protocol):
    """Weights `[O, I]` that can be widened in parts."""

    in_features: int
    out_features: int
    rows_multiple: int
    """Parts begin and end at multiples of so many rows, or at the last row."""

    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        """Write rows from `start` to `end` to `into`, `[end - start, I]`, in its dtype."""
        ...


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


WIDTH: Final = torch.bfloat16 if has_bfloat16() else torch.float32


def product(x: torch.Tensor, source: Source) -> torch.Tensor:
    """`[T, I]` times the transposed weights, `[T, O]` in `x`'s dtype, summed at `WIDTH` or better."""
    out = torch.empty(x.shape[0], source.out_features, dtype=WIDTH)
    multiply_rows(x.to(WIDTH), source, 0, source.out_features, out)
    return out.to(x.dtype)


def multiply_rows(states: torch.Tensor, source: Source, start: int, end: int, out: torch.Tensor) -> None:
    """Write the product of `[T, I]` and rows from `start` to `end` to those columns of `out`, `[T, O]`; all `WIDTH`."""
    rows = _rows_of_a_block(source)
    for at in range(start, end, rows):
        until = min(at + rows, end)
        block = scratch((until - at) * source.in_features).view(until - at, source.in_features)
        source.widen(at, until, block)
        torch.mm(states, block.t(), out=out[:, at:until])


def _rows_of_a_block(source: Source) -> int:
    rows = BLOCK_BYTES // (WIDTH.itemsize * source.in_features)
    return max(source.rows_multiple, rows // source.rows_multiple * source.rows_multiple)


_held: Final = threading.local()


def scratch(elements: int) -> torch.Tensor:
    """Memory for one block, kept from one product to the next: fresh memory costs more than what is written to it."""
    buffer: Any = getattr(_held, "buffer", None)
    if buffer is None or buffer.numel() < elements:
        with torch.inference_mode(False):  # so that it can be written to outside of that mode too
            buffer = _held.buffer = torch.empty(elements, dtype=WIDTH)
    kept: torch.Tensor = buffer[:elements]
    return kept
