"""A loaded slice and its forward pass.

The model's own forward runs: it makes masks and rotary tables from the cache's length, and the holes pass hidden
states on. So a slice does what the whole model does between two layers, bit for bit, with no code per family.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from transformers.cache_utils import get_layer_types_and_kwargs

from node.slices import build
from node.slices.cache import SliceCache, capacity
from node.slices.errors import (
    BadInput,
    ContextFull,
    ForwardFailed,
    InvalidSlice,
    UnsupportedModel,
    WrongThread,
)
from node.slices.spec import SliceSpec, Want
from wire.types import LayerRange


class Slice:
    """Some layers of a model, perhaps with its embedding or head; made by `load.load_slice`.

    Serves any number of sessions, each with caches of its own, one forward at a time, on the thread that loaded it.
    """

    def __init__(self, spec: SliceSpec, model: Any, crossing: build.Crossing) -> None:
        """Take a model whose holes cross through `crossing`; runs one token through it to size its caches."""
        config = model.config
        self.spec = spec
        self.model_type: str = config.model_type
        self.num_layers: int = config.num_hidden_layers
        self.hidden_size: int = config.hidden_size
        self.vocab_size: int = config.vocab_size
        self.max_positions: int = config.max_position_embeddings
        self.dtype: torch.dtype = getattr(torch, spec.dtype)
        self.weight_bytes = build.weight_bytes(model)
        self._model = model
        self._decoder = getattr(model, model.base_model_prefix)
        self._crossing = crossing
        self._windows = layer_windows(config)
        self._owner = threading.get_ident()
        self._bytes_per_position = self._measure()

    def new_cache(self, layers: LayerRange) -> SliceCache:
        """An empty cache for a session that uses `layers`, any sub-range of the slice's.

        Raises:
            InvalidSlice: the slice does not have them.
        """
        if not self.spec.layers.covers(layers):
            raise InvalidSlice(f"layers {layers} are not within this slice's {self.spec.layers}")
        at_end = (layers.start == 0 and self.spec.embed) or (layers.end == self.num_layers and self.spec.head)
        if not len(layers) and not at_end:
            raise InvalidSlice(f"layers {layers} are empty")
        return SliceCache(layers, self._windows)

    def kv_bytes(self, layers: LayerRange, positions: int) -> int:
        """The most bytes a cache of `layers` holds once it has had `positions`, however they came."""
        per_position = self._bytes_per_position
        return sum(
            per_position[index] * capacity(positions, self._windows[index])
            for index in range(layers.start, layers.end)
        )

    def forward(self, x: torch.Tensor, *, cache: SliceCache, position: int, want: Want) -> torch.Tensor:
        """Run the cache's layers on T new tokens and add them to the cache.

        Args:
            x: token ids `[1, T]` int64, where the slice has the embedding and the cache's layers start at 0; or
                hidden states `[1, T, D]` of any float dtype, cast to the slice's.
            cache: of this slice (`new_cache`).
            position: of the first new token; must be `cache.length`.
            want: hidden states for the next hop, or logits for the sampler.

        Returns:
            `[1, T, D]` in the slice's dtype, or `[V]` float32 for the last token.

        Raises:
            BadInput: shape, dtype, ids, position or `want` do not fit; the cache is unchanged.
            ContextFull: the tokens do not fit the model's context; the cache is unchanged.
            ForwardFailed: it began and could not finish; the cache is broken.
            CacheBroken: an earlier forward failed.
            WrongThread: this is not the thread that loaded the slice.
        """
        self._check(x, cache, position, want)
        count = x.shape[1]
        ids = x if x.dtype is torch.int64 else None
        hidden = None if ids is not None else x.to(self.dtype)
        with torch.inference_mode():
            arguments: dict[str, Any] = {"input_ids": ids} if ids is not None else {"inputs_embeds": hidden}
            arguments["position_ids"] = torch.arange(position, position + count).unsqueeze(0)
            arguments["past_key_values"] = cache.model_cache
            self._crossing.begin(cache.layers, hidden)
            cache.mark_broken()
            try:
                if want is Want.LOGITS:
                    out: torch.Tensor = (
                        self._model(**arguments, use_cache=True, logits_to_keep=1).logits[0, -1].float()
                    )
                else:
                    self._decoder(**arguments, use_cache=True)
                    out = self._crossing.take()
            except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as error:
                raise ForwardFailed(f"layers {cache.layers} of {self.model_type}: {error}") from error
            finally:
                self._crossing.end()
        cache.advance(count)  # and with that whole again
        return out

    def _check(self, x: torch.Tensor, cache: SliceCache, position: int, want: Want) -> None:
        """Raise unless this forward can be run."""
        if threading.get_ident() != self._owner:
            raise WrongThread("a slice runs only on the thread that loaded it")
        cache.check_usable()
        layers = cache.layers
        if cache.model_cache.windows is not self._windows:
            raise BadInput("the cache was made by another slice")
        if position != cache.length:
            raise BadInput(f"the forward is at position {position}, the cache at {cache.length}")
        if x.dtype is torch.int64:
            self._check_ids(x, layers)
        elif x.dim() != 3 or x.shape[0] != 1 or x.shape[1] < 1 or x.shape[2] != self.hidden_size:
            raise BadInput(f"hidden states of shape {list(x.shape)}; expected [1, T, {self.hidden_size}]")
        elif not x.is_floating_point():
            raise BadInput(f"hidden states of dtype {x.dtype}; expected a float type")
        if want is Want.LOGITS and not (self.spec.head and layers.end == self.num_layers):
            raise BadInput(f"layers {layers} of this slice do not end in the head; there are no logits")
        if position + x.shape[1] > self.max_positions:
            raise ContextFull(position + x.shape[1], self.max_positions)

    def _check_ids(self, ids: torch.Tensor, layers: LayerRange) -> None:
        if not (self.spec.embed and layers.start == 0):
            raise BadInput(f"token ids, but layers {layers} of this slice do not begin with the embedding")
        if ids.dim() != 2 or ids.shape[0] != 1 or ids.shape[1] < 1:
            raise BadInput(f"token ids of shape {list(ids.shape)}; expected [1, T]")
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            raise BadInput(f"token ids must be from 0 to {self.vocab_size - 1}")

    def _measure(self) -> dict[int, int]:
        """Bytes a position takes in each layer's cache, seen from one token; also warms the kernels up."""
        cache = SliceCache(self.spec.layers, self._windows)
        try:
            out = self.forward(
                torch.zeros(1, 1, self.hidden_size, dtype=self.dtype),
                cache=cache,
                position=0,
                want=Want.HIDDEN,
            )
        except ForwardFailed as error:
            raise UnsupportedModel(self.model_type, f"its layers cannot be run alone ({error})") from error
        if out.shape != (1, 1, self.hidden_size):
            raise UnsupportedModel(self.model_type, "its layers pass on more than hidden states")
        rows = capacity(1, None)
        return {index: store.nbytes // rows for index, store in cache.model_cache.stores.items()}


def layer_windows(config: Any) -> tuple[int | None, ...]:
    """For every layer its sliding window, None for full attention, as transformers' own cache would have it.

    Raises:
        UnsupportedModel: a layer keeps something else than keys and values.
    """
    types, options = get_layer_types_and_kwargs(config)
    windows: list[int | None] = []
    for kind, fields in zip(types, options, strict=True):
        if kind not in ("full_attention", "sliding_attention"):
            raise UnsupportedModel(
                config.model_type, f"a layer of kind {kind!r} keeps more than keys and values"
            )
        windows.append(fields["sliding_window"] if kind == "sliding_attention" else None)
    return tuple(windows)
