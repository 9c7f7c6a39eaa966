"""One step of several sessions that keep more than keys and values: their caches as one cache of a batch.

Recurrent states lie side by side in the batch; keys and values of shorter sessions are padded on the left, where a mask
hides them, so that all sessions' newest positions are in one column. Everything is copied in and out again: a session's
own cache is untouched until the forward has succeeded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch.nn import functional

from node.slices.state_cache import StateCache, layer_tensors, put

MOST_MERGED_BYTES: Final = 1 << 29
"""Of all sessions' states side by side; past that they are computed one by one."""
_ROWS: Final = frozenset({"keys", "values"})
"""Tensors `[1, K, S, Dh]` with a row for each position; all others `[1, ...]` are as large after any number of them."""


class Unlike(Exception):
    """These sessions' states cannot lie side by side."""


class MergedCaches:
    """The caches of N sessions as one that the model's forward sees, each a row of the batch."""

    def __init__(self, caches: Sequence[StateCache]) -> None:
        """Copy what the sessions hold.

        Raises:
            Unlike: they hold different things, one holds nothing yet, or there is not enough memory set aside.
        """
        self._caches = [cache.model_cache for cache in caches]
        self.lengths = [int(cache.length) for cache in caches]
        if min(self.lengths) == 0:
            raise Unlike("a session has read nothing yet")
        nbytes = sum(cache.nbytes for cache in caches) * max(self.lengths) // min(self.lengths)
        if nbytes > MOST_MERGED_BYTES:
            raise Unlike(f"up to {nbytes} bytes of states")
        self._layers = caches[0].layers
        self.model_cache: Any = copy.copy(self._caches[0])
        self.model_cache.layers = list(self.model_cache.layers)
        self.model_cache.length = max(self.lengths)
        for index in range(self._layers.start, self._layers.end):
            self.model_cache.layers[index] = _merged([cache.layers[index] for cache in self._caches])

    def mask(self, device: torch.device) -> torch.Tensor:
        """`[N, S + 1]` int64, with the new token's column: 1 where a session has a position, 0 where it is padded."""
        longest = max(self.lengths)
        hidden = torch.tensor([[longest - length] for length in self.lengths], device=device)
        return (torch.arange(longest + 1, device=device) >= hidden).long()

    def part(self) -> None:
        """Give every session its own state after one more position; the caller counts it (`StateCache.advance`)."""
        for index in range(self._layers.start, self._layers.end):
            made = layer_tensors(self.model_cache.layers[index])
            for row, cache in enumerate(self._caches):
                _take(cache.layers[index], made, row, self.lengths[row] + 1)


def _merged(layers: Sequence[Any]) -> Any:
    """One of transformers' layer caches with the tensors of several."""
    held = [layer_tensors(layer) for layer in layers]
    if any(one.keys() != held[0].keys() for one in held):
        raise Unlike("their layers hold different tensors")
    made = copy.copy(layers[0])
    for name, value in vars(made).items():
        if isinstance(value, dict):
            setattr(made, name, dict(value))
    for name in held[0]:
        tensors = [one[name] for one in held]
        most = max(tensor.shape[-2] for tensor in tensors) if name in _ROWS else 0
        if name in _ROWS:
            tensors = [functional.pad(one, (0, 0, most - one.shape[-2], 0)) for one in tensors]
        if any(one.shape != tensors[0].shape or one.shape[0] != 1 for one in tensors):
            raise Unlike(f"their {name} have different shapes")
        put(made, name, torch.cat(tensors))
    if hasattr(made, "cumulative_length"):
        made.cumulative_length = max(layer.cumulative_length for layer in layers)
    return made


def _take(layer: Any, made: Mapping[str, torch.Tensor], row: int, length: int) -> None:
    """Put one row of a batch into a session's own layer cache, which has `length` positions now."""
    for name, tensor in made.items():
        own = tensor[row : row + 1]
        if name in _ROWS:
            own = own[..., max(0, own.shape[-2] - length) :, :]
        put(layer, name, own.clone())
    if hasattr(layer, "cumulative_length"):
        layer.cumulative_length = length
