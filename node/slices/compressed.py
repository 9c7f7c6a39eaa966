"""What layers keep that compress the keys of every few tokens into one: deepseek_v4's two kinds of attention.

Such a layer holds the keys of a window, which are its values too; what it made of the tokens since the last whole group
(`buffer_kv`, `buffer_gate`); one key for every group so far (`compressed_kv`); and, where groups overlap, what the next
one takes of the last (`overlap_kv`, `overlap_gate`). How many rows each has follows from the number of positions, so a
state that comes from elsewhere is checked, and its groups are counted, by its length alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch

KINDS: Final = ("compressed_sparse_attention", "heavily_compressed_attention")
"""In transformers' words."""

Shape = tuple[torch.dtype, tuple[int, ...]]


def window_of(options: Mapping[str, Any]) -> int | None:
    """The sliding window that a layer's cache is made with, by transformers' arguments for it; None if it has none."""
    window: int | None = options.get("sliding_window", getattr(options.get("config"), "sliding_window", None))
    return window


def rate_of(kind: str, options: Mapping[str, Any]) -> Any:
    """How many tokens become one key, as the config has it, if it has it; 1 in kinds that compress nothing."""
    rates = getattr(options.get("config"), "compress_rates", None) or {}
    return rates.get(kind) if kind in KINDS else 1


def settle(layer: Any, length: int) -> None:
    """Have a layer cache that was given its tensors say what it is after `length` positions."""
    layer.values = layer.keys
    layer.entry_count = dict.fromkeys(layer.entry_count, length // layer.compress_rate)


def shapes(layer: Any, one: Mapping[str, Shape], length: int) -> dict[str, Shape]:
    """What a layer holds after `length` positions, by name.

    Args:
        layer: its cache, for the sizes of window and groups.
        one: what it holds after one position.
    """
    rate = layer.compress_rate
    return _with_rows(
        layer,
        one,
        keys=min(length, layer.sliding_window - 1),
        buffer=length % rate,
        compressed=length // rate,
    )


def costs(layer: Any, one: Mapping[str, Shape]) -> tuple[int, int]:
    """Bytes that a layer takes at most beside its compressed keys, and those of the keys for each position."""
    rate = layer.compress_rate
    least = _with_rows(layer, one, keys=layer.sliding_window - 1, buffer=rate - 1, compressed=1)
    row = sum(_nbytes(shape) for name, shape in least.items() if name.startswith("compressed_kv."))
    return sum(map(_nbytes, least.values())), -(-row // rate)


def _with_rows(layer: Any, one: Mapping[str, Shape], **rows: int) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for name, (dtype, first) in one.items():
        part, _, entry = name.partition(".")
        start = part.partition("_")[0]
        if start not in rows:
            continue
        found[name] = (dtype, (*first[:-2], rows[start], first[-1]))
        if start == "buffer" and rows["compressed"] and hasattr(layer, "overlap_kv"):
            # Of a group half of what its tokens gave. The gates have a bias added, which no dtype but float32 has.
            half = (first[0], layer.compress_rate, first[-1] // 2)
            kept = torch.float32 if part == "buffer_gate" else dtype
            found[f"{part.replace('buffer', 'overlap')}.{entry}"] = (kept, half)
    return found


def _nbytes(shape: Shape) -> int:
    dtype, sizes = shape
    return math.prod(sizes) * dtype.itemsize
