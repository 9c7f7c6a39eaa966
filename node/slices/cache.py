"""One session's KV cache for the layers it uses of a slice.

Transformers' own dynamic cache copies everything at each token, and its sliding layers cannot go back. Here each
layer has one buffer that grows in steps, a position's place in it is fixed until the window has moved on, and
going back is a change of `length`. Sliding layers keep `ROLLBACK_POSITIONS` more than their window for that.
What the model's forward asks the cache (lengths for masks and rotary tables, kinds of layers) is answered for every
layer of the model, held here or not, from the session's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from transformers.cache_utils import Cache

from node.slices.errors import CacheBroken, TruncatedTooFar
from wire.types import LayerRange

GROWTH_POSITIONS: Final = 128
"""Buffers grow by this many positions: seldom enough to copy little, small enough to waste little."""
ROLLBACK_POSITIONS: Final = 1_024
"""How far back a session with sliding layers can be truncated without a replay."""


def capacity(positions: int, window: int | None) -> int:
    """The most positions a layer's buffer holds once a session has had `positions`, however they came."""
    if window is not None:
        positions = min(positions, window - 1 + ROLLBACK_POSITIONS + GROWTH_POSITIONS)
    return -(-positions // GROWTH_POSITIONS) * GROWTH_POSITIONS


class LayerCache:
    """Keys and values of one layer. `base` is the position of the buffers' first row."""

    __slots__ = ("base", "dtype", "keys", "values", "window")

    def __init__(self, window: int | None, dtype: torch.dtype | None = None) -> None:
        """Keep rows in `dtype`, or in the one they come in."""
        self.window = window
        self.dtype = dtype
        self.base = 0
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(buffer.nbytes for buffer in (self.keys, self.values) if buffer is not None)

    def first_visible(self, position: int) -> int:
        """The first position that a token at `position` attends to."""
        return 0 if self.window is None else max(0, position - self.window + 1)

    def write(
        self, keys: torch.Tensor, values: torch.Tensor, position: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new rows and return all rows the new tokens attend to, in the dtype of the new ones; see `store`."""
        seen_keys, seen_values = self.store(keys, values, position)
        return seen_keys.to(keys.dtype), seen_values.to(values.dtype)

    def store(
        self, keys: torch.Tensor, values: torch.Tensor, position: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new rows and return all rows the new tokens attend to, as they are kept.

        Args:
            keys: `[1, K, T, Dh]`, for positions `position` to `position + T`.
            values: `[1, K, T, Dh']`.
            position: how many positions came before; whatever was stored from there on is overwritten.
        """
        count = keys.shape[-2]
        first, end = self.first_visible(position), position + count
        room = capacity(end, self.window)
        if self.keys is None or self.values is None:
            self.keys = _grown(keys[..., :0, :], room, self.dtype)
            self.values = _grown(values[..., :0, :], room, self.dtype)
        if end - self.base > self.keys.shape[-2]:
            keep = self.base
            if self.window is not None and end - self.base > room:
                keep = max(self.base, first - ROLLBACK_POSITIONS)
            held = slice(keep - self.base, position - self.base)
            if end - keep > room:
                # More new tokens than the buffer is to hold: attend to a joined copy, keep the end of it.
                joined = [
                    torch.cat((old[..., held, :], new.to(old.dtype)), dim=-2)
                    for old, new in ((self.keys, keys), (self.values, values))
                ]
                self.keys, self.values = (_grown(rows[..., -room:, :], room) for rows in joined)
                self.base = end - room
                return joined[0][..., first - keep :, :], joined[1][..., first - keep :, :]
            self.keys = _grown(self.keys[..., held, :], room)
            self.values = _grown(self.values[..., held, :], room)
            self.base = keep
        at, visible, rows = position - self.base, first - self.base, end - first
        self.keys.narrow(-2, at, count).copy_(keys)
        self.values.narrow(-2, at, count).copy_(values)
        return self.keys.narrow(-2, visible, rows), self.values.narrow(-2, visible, rows)

    def reachable(self) -> int:
        """The lowest length other than 0 that can be truncated to."""
        return 0 if self.base == 0 or self.window is None else self.base + self.window - 1

    def clear(self) -> None:
        """Forget everything but the memory."""
        self.base = 0


def _grown(rows: torch.Tensor, room: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A buffer of `room` rows that begins with these, in their dtype or another."""
    buffer = rows.new_empty((*rows.shape[:-2], room, rows.shape[-1]), dtype=dtype)
    buffer[..., : rows.shape[-2], :] = rows
    return buffer


class _ModelCache(Cache):
    """What the model's forward sees: a cache of all its layers, of which those in `layers` store anything."""

    def __init__(
        self, windows: tuple[int | None, ...], layers: LayerRange, dtype: torch.dtype | None
    ) -> None:
        super().__init__(layers=[])
        self.windows = windows
        self.stores = {index: LayerCache(windows[index], dtype) for index in range(layers.start, layers.end)}
        self.length = 0
        self._sliding = [window is not None for window in windows]
        self._never = [False] * len(windows)

    def __len__(self) -> int:
        return len(self.windows)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.stores[layer_idx].write(key_states, value_states, self.length)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the base class names it
        return self.length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        window = self.windows[layer_idx]
        first = 0 if window is None else max(0, self.length - window + 1)
        return self.length - first + query_length, first

    @property
    def is_sliding(self) -> list[bool]:
        return self._sliding

    @property
    def is_linear(self) -> list[bool]:
        return self._never

    @property
    def is_dummy(self) -> list[bool]:
        return self._never


class SliceCache:
    """The KV cache of one session over `layers`, a sub-range of the slice that made it (`Slice.new_cache`)."""

    def __init__(
        self,
        layers: LayerRange,
        windows: tuple[int | None, ...],
        plan: object = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            windows: for every layer of the whole model its sliding window, or None for full attention.
            plan: marks the slice the cache belongs to.
            dtype: of the rows that are kept; that in which they come if None.
        """
        self._begin(layers, plan, _ModelCache(windows, layers, dtype))

    def _begin(self, layers: LayerRange, plan: object, model_cache: Any) -> None:
        self.layers = layers
        self.plan = plan
        self.model_cache = model_cache
        self._broken = False

    @property
    def length(self) -> int:
        """Positions in the cache, S."""
        return int(self.model_cache.length)

    @property
    def nbytes(self) -> int:
        """Bytes of memory the cache has allocated."""
        return sum(self.layer_bytes().values())

    def layer_bytes(self) -> dict[int, int]:
        """Bytes of memory allocated for each layer."""
        return {index: store.nbytes for index, store in self.model_cache.stores.items()}

    def held(self) -> dict[str, torch.Tensor]:
        """What later tokens will see, by layer and name: `[1, K, S, Dh]` each, views of the buffers."""
        held: dict[str, torch.Tensor] = {}
        for index, store in self.model_cache.stores.items() if self.length else ():
            if store.keys is None:  # a layer that keeps nothing
                continue
            visible = slice(store.first_visible(self.length) - store.base, self.length - store.base)
            held[f"{index}.keys"] = store.keys[..., visible, :]
            held[f"{index}.values"] = store.values[..., visible, :]
        return held

    def hold(self, tensors: Mapping[str, torch.Tensor], length: int, templates: Mapping[int, Any]) -> None:  # noqa: ARG002 - other kinds of caches need them
        """Take over what `held` gave at `length`; the cache must be empty, and the tensors its own to keep."""
        for index, store in self.model_cache.stores.items():
            if f"{index}.keys" not in tensors:
                continue
            keys, values = tensors[f"{index}.keys"], tensors[f"{index}.values"]
            rows = keys.shape[-2]
            room = capacity(rows, None)
            store.base, store.keys, store.values = length - rows, _grown(keys, room), _grown(values, room)
        self.model_cache.length = length

    def truncate(self, length: int) -> None:
        """Drop all positions from `length` on; going on is then exactly as if they had never been.

        Raises:
            ValueError: `length` is negative or more than there is.
            TruncatedTooFar: sliding layers have let go of what is needed; within the last
                `ROLLBACK_POSITIONS`, and to 0, this does not happen.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} positions to {length}")
        stores = self.model_cache.stores.values()
        reachable = max((store.reachable() for store in stores), default=0)
        if 0 < length < reachable:
            raise TruncatedTooFar(length, reachable)
        if length == 0:
            for store in stores:
                store.clear()
            self._broken = False
        self.model_cache.length = length

    def check_usable(self) -> None:
        """Raise `CacheBroken` after a forward that failed half way."""
        if self._broken:
            raise CacheBroken("an earlier step failed half way; open a new session")

    def mark_broken(self) -> None:
        """Note that a forward has begun; it stays so unless the forward ends in `advance`."""
        self._broken = True

    def advance(self, count: int) -> None:
        """Count `count` more positions, after a forward that stored them in every layer."""
        self.model_cache.length += count
        self._broken = False
