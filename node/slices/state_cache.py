"""One session's state over layers that keep more than keys and values: convolutions, recurrences, indexers.

Such a state cannot go back: it is what all tokens so far have become. So transformers' own layer caches are used as
they are, and a truncation to anything but nothing, or all, is an error. Rejected: keeping a copy of the state at every
position, which is as large as a long context's keys at each of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import torch
from transformers.cache_utils import (
    CacheLayerMixin,
    DummyLayer,
    DynamicCache,
    LinearAttentionCacheLayerMixin,
    get_layer_types_and_kwargs,
)

from node.slices import compressed
from node.slices.adapters import cache_bases
from node.slices.cache import SliceCache
from node.slices.errors import TruncatedTooFar
from wire.types import LayerRange


class _StateModelCache(DynamicCache):
    """What the model's forward sees: a cache of all its layers, of which those in `layers` store anything."""

    def __init__(self, config: Any, layers: LayerRange) -> None:
        DynamicCache.__init__(self, config=config)
        _, options = get_layer_types_and_kwargs(config)
        self.length = 0
        self.owned: Final = layers
        whole = DynamicCache(config=config)
        self._is_sliding, self._is_linear, self._is_dummy = whole.is_sliding, whole.is_linear, whole.is_dummy
        self._windows: list[int | None] = [compressed.window_of(fields) for fields in options]
        self._attends = [isinstance(layer, CacheLayerMixin) for layer in self.layers]
        for index in range(len(self.layers)):
            if index not in layers:
                self.layers[index] = DummyLayer()

    def __len__(self) -> int:
        return len(self.layers)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the base class names it
        return self.length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        if not self._attends[layer_idx] and any(self._attends):
            layer_idx = self._attends.index(True)
        window = self._windows[layer_idx]
        first = 0 if window is None else max(0, self.length - window + 1)
        return self.length - first + query_length, first

    def has_previous_state(self, layer_idx: int | None = None, state_idx: int | None = None) -> bool:
        if layer_idx is None or not isinstance(self.layers[layer_idx], LinearAttentionCacheLayerMixin):
            return self.length > 0
        return bool(super().has_previous_state(layer_idx, state_idx))

    def get_linear_cache(self, layer_idx: int) -> torch.Tensor | None:
        """The recurrent state of a layer, as minimax asks for it."""
        layer: Any = self.layers[layer_idx]
        state: torch.Tensor | None = layer.recurrent_states[0]
        return state

    def set_linear_cache(self, layer_idx: int, linear_cache: torch.Tensor) -> None:
        """Keep the recurrent state of a layer, as minimax tells it."""
        layer: Any = self.layers[layer_idx]
        layer.recurrent_states[0] = linear_cache
        layer.has_previous_state[0] = layer.is_recurrent_states_initialized[0] = True

    @property
    def is_sliding(self) -> list[bool]:
        return self._is_sliding

    @property
    def is_linear(self) -> list[bool]:
        return self._is_linear

    @property
    def is_dummy(self) -> list[bool]:
        return self._is_dummy


def _model_cache(config: Any, layers: LayerRange) -> Any:
    bases = (_StateModelCache, *cache_bases(config.model_type))
    return type("StateModelCache", bases, {})(config, layers)


def layer_tensors(layer: Any) -> dict[str, torch.Tensor]:
    """What one of transformers' layer caches holds, by the name of its attribute, and key where it has several."""
    found: dict[str, torch.Tensor] = {}
    for name, value in vars(layer).items():
        if name.startswith("_"):  # a constant of the layer's, as its window
            continue
        if isinstance(value, torch.Tensor) and value.numel():
            if not any(value is other for other in found.values()):  # keys may be the values too
                found[name] = value
        elif isinstance(value, dict):
            found |= {f"{name}.{key}": item for key, item in value.items() if isinstance(item, torch.Tensor)}
    return found


def put(layer: Any, name: str, tensor: torch.Tensor) -> None:
    """Have a layer cache hold a tensor, by the name that `layer_tensors` gives it."""
    attribute, _, key = name.partition(".")
    if key:
        getattr(layer, attribute)[int(key) if key.isdecimal() else key] = tensor
    else:
        setattr(layer, attribute, tensor)


def emptied(layer: Any) -> Any:
    """A copy of a layer cache with all of its flags and counts, and tensors that have shapes and no memory."""
    copied = copy.copy(layer)
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        if isinstance(value, torch.Tensor):
            setattr(copied, name, value.to("meta"))
        elif isinstance(value, dict):
            items = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in value.items()}
            setattr(copied, name, items)
    return copied


def filled(template: Any, tensors: Mapping[str, torch.Tensor], length: int) -> Any:
    """A layer cache as `template`, with these tensors in it, after `length` positions."""
    layer = emptied(template)
    for name, tensor in tensors.items():
        put(layer, name, tensor)
    if hasattr(layer, "cumulative_length"):
        layer.cumulative_length = length
    if hasattr(layer, "entry_count"):
        compressed.settle(layer, length)
    return layer


class StateCache(SliceCache):
    """The state of one session over `layers`, where some layer keeps more than keys and values."""

    def __init__(self, layers: LayerRange, config: Any, plan: object) -> None:
        """`config` is the model's; `plan` marks the slice the cache belongs to."""
        self._config = config
        self._begin(layers, plan, _model_cache(config, layers))

    def layer_bytes(self) -> dict[int, int]:
        layers = self.model_cache.layers
        return {
            index: sum(tensor.nbytes for tensor in layer_tensors(layers[index]).values())
            for index in range(self.layers.start, self.layers.end)
        }

    def held(self) -> dict[str, torch.Tensor]:
        layers = self.model_cache.layers
        return {
            f"{index}.{name}": tensor
            for index in range(self.layers.start, self.layers.end)
            for name, tensor in (layer_tensors(layers[index]).items() if self.length else ())
        }

    def hold(self, tensors: Mapping[str, torch.Tensor], length: int, templates: Mapping[int, Any]) -> None:
        for index in range(self.layers.start, self.layers.end):
            prefix = f"{index}."
            own = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            self.model_cache.layers[index] = filled(templates[index], own, length)
        self.model_cache.length = length

    def truncate(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} positions to {length}")
        if length == 0:
            self._begin(self.layers, self.plan, _model_cache(self._config, self.layers))
        elif length != self.length:
            raise TruncatedTooFar(length, self.length)
