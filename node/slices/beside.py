"""What a model's layers need beside the hidden states: their tokens' ids, or keys that another layer made.

Both are read off a model's config, for a family whose proof found that its layers need them. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wire.types import LayerRange

_HASH: Final = "hash_moe"
"""Layers of this kind choose their experts by the token itself."""


def tokens_until(tokens: str, config: Any) -> int:
    """The layers before this one need the ids of their tokens; 0 where none does.

    Whoever computes a later layer is not sent any.

    Args:
        tokens: what the family's proof found (`families.Family.tokens`).
        config: of the text model.
    """
    count: int = config.num_hidden_layers
    if not tokens or getattr(config, "hidden_size_per_layer_input", 1) == 0:
        return 0
    kinds: Sequence[str] | None = getattr(config, "mlp_layer_types", None)
    if kinds is None:
        return count
    return max((index + 1 for index, kind in enumerate(kinds) if kind == _HASH), default=0)


def key_sources(config: Any) -> dict[int, int]:
    """For every layer that makes no keys of its own the layer whose keys it attends to.

    Raises:
        ValueError: the config contradicts itself.
    """
    count: int = config.num_hidden_layers
    shared = getattr(config, "num_kv_shared_layers", None) or 0
    if not 0 <= shared < count:
        raise ValueError(f"num_kv_shared_layers is {shared}, of {count} layers")
    modes: Sequence[str | None] = getattr(config, "kv_sharing_modes", None) or ()
    if "reuse" not in modes:
        return {}
    kinds: Sequence[str] = config.layer_types
    stored = {kinds[index]: index for index, mode in enumerate(modes) if mode == "store"}
    return {index: stored[kinds[index]] for index, mode in enumerate(modes) if mode == "reuse"}


def joined_layers(config: Any) -> tuple[LayerRange, ...]:
    """Stretches of layers that no cut may part, since layers in them attend to keys that the first of them made.

    Raises:
        ValueError: the config contradicts itself.
    """
    sources = key_sources(config)
    # The layers that reuse are the last ones, so one stretch holds them all with the layers they look at.
    return (LayerRange(min(sources.values()), max(sources) + 1),) if sources else ()


def parted(joined: Sequence[LayerRange], layers: LayerRange) -> LayerRange | None:
    """The first stretch that one end of `layers` would part, or None."""
    for stretch in joined:
        if stretch.parted_at(layers.start) or stretch.parted_at(layers.end):
            return stretch
    return None


def words(stretch: LayerRange) -> str:
    """Why a stretch is not parted, for a person."""
    return f"layers {stretch} share keys and are not cut apart; cut at {stretch.start} or {stretch.end}"
