"""One step of several sessions: their caches as one cache for the model's forward, which takes one new token of each.

The tokens stand side by side as if they were one sequence `[1, N, D]`; every layer treats tokens alone but for
attention, which looks up its session here. Sessions need not be of equal length, and nothing is padded or copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers.cache_utils import Cache

from node.slices.cache import SliceCache
from node.slices.kernels.attention import Padded
from node.slices.spec import Want

MOST_PADDING: Final = 2
"""Sessions attend in one operation if padding them to the longest makes at most so many times their rows."""
MOST_PADDED_BYTES: Final = 1 << 26
"""Of all sessions' rows of one layer, side by side."""


@dataclass(frozen=True, slots=True)
class Step:
    """New tokens of one session; see `Slice.forward`."""

    x: torch.Tensor
    cache: SliceCache
    position: int
    want: Want
    ids: torch.Tensor | None = None


class TogetherCache(Cache):
    """What the model's forward sees."""

    def __init__(
        self, caches: Sequence[SliceCache], *, joined: bool, sources: Mapping[int, int] | None = None
    ) -> None:
        """
        Args:
            joined: hand the model what all sessions see, for families that work on it before they attend.
            sources: for layers that keep no keys the layer whose keys they attend to.
        """
        super().__init__(layers=[])
        self._joined = joined
        self._sources = sources or {}
        self._caches = [cache.model_cache for cache in caches]
        self._stored: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._dtype = torch.float32
        self._padded: dict[object, Padded] = {}

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values `[1, K, N, Dh]`, one token for each session."""
        self._dtype = key_states.dtype
        self._stored[layer_idx] = [
            cache.stores[layer_idx].store(
                key_states[:, :, index : index + 1], value_states[:, :, index : index + 1], cache.length
            )
            for index, cache in enumerate(self._caches)
        ]
        if not self._joined:
            return key_states, value_states
        keys, values = zip(*self._stored[layer_idx], strict=True)
        return torch.cat(keys, dim=-2).to(self._dtype), torch.cat(values, dim=-2).to(self._dtype)

    def visible(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
        """See `kernels.attention.Sessions`."""
        layer = self._sources.get(layer, layer)
        if not self._joined:
            return [(one.to(self._dtype), other.to(self._dtype)) for one, other in self._stored[layer]]
        counts = [stored.shape[-2] for stored, _ in self._stored[layer]]
        return list(zip(keys.split(counts, dim=-2), values.split(counts, dim=-2), strict=True))

    def padded(self, layer: int) -> Padded | None:
        """See `kernels.attention.Sessions`."""
        if self._joined:
            return None
        stored = self._stored[self._sources.get(layer, layer)]
        counts = tuple(keys.shape[-2] for keys, _ in stored)
        sizes = tuple((rows.shape[1], rows.shape[3]) for rows in stored[0])
        if (counts, sizes) not in self._padded:
            rows = len(counts) * max(counts)
            nbytes = rows * self._dtype.itemsize * sum(heads * width for heads, width in sizes)
            if rows > MOST_PADDING * sum(counts) or nbytes > MOST_PADDED_BYTES:
                return None
            self._padded[counts, sizes] = _padded(counts, sizes, self._dtype)
        padded = self._padded[counts, sizes]
        for index, (keys, values) in enumerate(stored):
            padded.keys[index].narrow(1, 0, counts[index]).copy_(keys[0])
            padded.values[index].narrow(1, 0, counts[index]).copy_(values[0])
        return padded

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the base class names it
        return max(int(cache.length) for cache in self._caches)

    # The base class names it.
    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002
        return self.get_seq_length() + query_length, 0

    @property
    def is_sliding(self) -> list[bool]:
        sliding: list[bool] = self._caches[0].is_sliding
        return sliding


def _padded(counts: Sequence[int], sizes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Padded:
    """Memory for so many rows of each session; what nobody writes to must be numbers, or it would spoil the sum."""
    most = max(counts)
    keys, values = (torch.zeros(len(counts), heads, most, width, dtype=dtype) for heads, width in sizes)
    mask = None
    if min(counts) < most:
        hidden = torch.arange(most) >= torch.tensor(counts).unsqueeze(1)
        mask = torch.zeros(len(counts), 1, 1, most, dtype=dtype)
        mask.masked_fill_(hidden.view(len(counts), 1, 1, most), float("-inf"))
    return Padded(keys, values, mask)
