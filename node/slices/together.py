"""One step of several sessions: their caches as one cache for the model's forward, which takes one new token of each.

The tokens stand side by side as if they were one sequence `[1, N, D]`; every layer treats tokens alone but for
attention, which looks up its session here. Sessions need not be of equal length, and nothing is padded or copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache

from node.slices.cache import SliceCache
from node.slices.spec import Want


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
        self._seen: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values `[1, K, N, Dh]`, one token for each session."""
        self._seen[layer_idx] = [
            cache.stores[layer_idx].write(
                key_states[:, :, index : index + 1], value_states[:, :, index : index + 1], cache.length
            )
            for index, cache in enumerate(self._caches)
        ]
        if not self._joined:
            return key_states, value_states
        keys, values = zip(*self._seen[layer_idx], strict=True)
        return torch.cat(keys, dim=-2), torch.cat(values, dim=-2)

    def visible(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
        """See `kernels.attention.Sessions`."""
        layer = self._sources.get(layer, layer)
        if not self._joined:
            return self._seen[layer]
        counts = [stored.shape[-2] for stored, _ in self._seen[layer]]
        return list(zip(keys.split(counts, dim=-2), values.split(counts, dim=-2), strict=True))

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the base class names it
        return max(int(cache.length) for cache in self._caches)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002
        return self.get_seq_length() + query_length, 0

    @property
    def is_sliding(self) -> list[bool]:
        sliding: list[bool] = self._caches[0].is_sliding
        return sliding
