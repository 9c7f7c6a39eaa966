"""What each layer of a model keeps for a session, and the cache that goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, get_layer_types_and_kwargs

from node.slices import compressed
from node.slices.cache import SliceCache, capacity
from node.slices.compressed import Shape
from node.slices.errors import UnsupportedModel
from node.slices.families import max_positions
from node.slices.state_cache import StateCache, emptied
from wire.limits import MAX_POSITIONS
from wire.types import LayerRange

_KEYS_AND_VALUES: Final = ("full_attention", "sliding_attention", "chunked_attention", "dummy")
"""Kinds of layers that keep keys and values and nothing else, or nothing, for which our own cache is used."""


class CachePlan:
    """Makes the caches of one slice."""

    def __init__(self, config: Any, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        """Read a model's config; keys and values are kept in `dtype`, on `device`.

        Raises:
            UnsupportedModel: a layer keeps something that no cache here holds.
        """
        self._config = config
        self._dtype = dtype
        self.device = device
        self.kinds, self.windows = layer_kinds(config)
        self.max_positions = max_positions(config)
        self.templates: dict[int, Any] = {}
        """A layer's cache as it is after one position, without its memory, where `keeps_state`."""
        self._seen: list[dict[str, Shape]] = []
        self.keeps_state = any(kind not in _KEYS_AND_VALUES for kind in self.kinds)

    def new(self, layers: LayerRange) -> SliceCache:
        """An empty cache for a session over `layers`."""
        if self.keeps_state:
            return StateCache(layers, self._config, self)
        return SliceCache(layers, self.windows, self, dtype=self._dtype)

    def learn(self, cache: SliceCache) -> None:
        """Look at a cache of all of the slice's layers after one position, and again after two."""
        self._seen.append(
            {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in cache.held().items()}
        )
        if self.keeps_state and not self.templates:
            layers = cache.model_cache.layers
            self.templates = {
                index: emptied(layers[index]) for index in range(cache.layers.start, cache.layers.end)
            }

    def shapes(self, layers: LayerRange, length: int) -> dict[str, Shape]:
        """What a cache of `layers` holds after `length` positions, at least one: dtype and shape by name."""
        one, two = self._seen
        found: dict[str, Shape] = {}
        for index in range(layers.start, layers.end):
            if self.kinds[index] in compressed.KINDS:
                made = compressed.shapes(self.templates[index], self._seen_of(index), length)
                found |= {f"{index}.{name}": shape for name, shape in made.items()}
        for name, (dtype, first) in one.items():
            index = int(name.partition(".")[0])
            if index in layers and self.kinds[index] not in compressed.KINDS:
                window = self.windows[index]
                rows = length if window is None else min(length, window - 1)
                grows = [b - a for a, b in zip(first, two[name][1], strict=True)]
                found[name] = (dtype, tuple(a + g * (rows - 1) for a, g in zip(first, grows, strict=True)))
        return found

    def rows(self, index: int, positions: int) -> int:
        """The most positions that layer `index` has memory for once a session has had `positions`."""
        window = self.windows[index]
        if not self.keeps_state:
            return capacity(positions, window)
        if window is None or self.kinds[index] in compressed.KINDS:
            return positions
        return min(positions, window)

    def costs(self, one: Mapping[int, int], two: Mapping[int, int]) -> tuple[dict[int, int], dict[int, int]]:
        """Bytes that each layer takes at all, and for each of its `rows`, by those after one position and after two."""
        if not self.keeps_state:  # memory comes in blocks of positions, and all of it is for positions
            return dict.fromkeys(one, 0), {index: one[index] // self.rows(index, 1) for index in one}
        growth = {index: two[index] - one[index] for index in one}
        fixed = {index: one[index] - growth[index] for index in one}
        for index in one:
            if self.kinds[index] in compressed.KINDS:
                fixed[index], growth[index] = compressed.costs(self.templates[index], self._seen_of(index))
        return fixed, growth

    def _seen_of(self, index: int) -> dict[str, Shape]:
        """What layer `index` holds after one position."""
        prefix = f"{index}."
        seen = self._seen[0].items()
        return {name[len(prefix) :]: shape for name, shape in seen if name.startswith(prefix)}


def layer_kinds(config: Any) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """For every layer what it keeps, in transformers' words, and its sliding window, None where it has none.

    Raises:
        UnsupportedModel: a kind that transformers' own session cache does not know.
    """
    kinds, options = get_layer_types_and_kwargs(config)
    windows = tuple(compressed.window_of(fields) for fields in options)
    rates = map(compressed.rate_of, kinds, options)
    for kind, window, rate in zip(kinds, windows, rates, strict=True):
        if kind not in DYNAMIC_LAYER_TYPE_MAPPING:
            raise UnsupportedModel(config.model_type, f"no cache holds what a layer of kind {kind!r} keeps")
        slides = window is not None or kind in compressed.KINDS
        if slides and (window is None or not 1 < window <= MAX_POSITIONS):
            raise UnsupportedModel(config.model_type, f"it has a sliding window of {window} positions")
        if type(rate) is not int or not 1 <= rate <= MAX_POSITIONS:
            raise UnsupportedModel(config.model_type, f"it compresses {rate!r} positions into one")
    return tuple(kinds), windows


def check_kinds(config: Any, proven: Sequence[str]) -> None:
    """Raise `UnsupportedModel` if a layer of a model keeps something that its family's proof does not cover."""
    covered = {*proven, "full_attention"} if "sliding_attention" in proven else set(proven)
    for kind in layer_kinds(config)[0]:
        if kind not in covered:
            reason = (
                f"its slices are not proven for layers of kind {kind!r}, only {', '.join(sorted(covered))}"
            )
            raise UnsupportedModel(config.model_type, reason)
