"""Attention under names of our own in transformers' registry, so that one forward can hold tokens of several sessions.

For one session in float32 or float16 it is transformers' own function, bit for bit. On processors without bfloat16
arithmetic torch's fused attention takes several times as long for bfloat16 as for float32, so it is widened first.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from node.slices.kernels import wide

ALONE: Final = "lamella"
SHARED: Final = "lamella_shared"
"""Has no function for masks in the registry, so the model makes none: a session's token sees all its cache shows."""


class Sessions(Protocol):
    """The sessions of one forward, one new token each."""

    def visible(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
        """For each session the keys `[1, K, S, Dh]` and values that its token attends to in a layer.

        Args:
            keys: what the family made of what its cache gave it.
            values: the same.
        """
        ...


class Attention:
    """How one loaded model attends."""

    def __init__(self, model: Any, *, may_rename: bool = True) -> None:
        """Let the model attend through here, where it looks its attention up in the registry."""
        found = model.config._attn_implementation
        self._configs: tuple[Any, ...] = ()
        if may_rename and found in ("sdpa", "eager") and model._supports_attention_backend:
            held = (getattr(module, "config", None) for module in model.modules())
            used = (one for one in held if getattr(one, "_attn_implementation", None) == found)
            self._configs = tuple({id(one): one for one in used}.values())
        self._eager = found == "eager"
        self._name(found if self._eager else ALONE)

    @property
    def can_share(self) -> bool:
        """Whether the tokens of several sessions can be in one forward."""
        return bool(self._configs)

    @contextmanager
    def shared(self, sessions: Sessions) -> Iterator[None]:
        """Within this, a forward's tokens `[1, N, D]` are of N sessions."""
        _current.sessions, _current.eager = sessions, self._eager
        self._name(SHARED)
        try:
            yield
        finally:
            self._name("eager" if self._eager else ALONE)
            _current.sessions = None

    def _name(self, name: str) -> None:
        for config in self._configs:
            config._attn_implementation = name


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one session's new tokens to all it may see.

    Args:
        module: the family's attention module.
        query: `[1, H, T, Dh]`.
        key: `[1, K, S, Dh]`.
        value: `[1, K, S, Dv]`.
        attention_mask: what transformers made for `sdpa`, or None.
        rest: the family's own options.

    Returns: `[1, T, H, Dv]`, and no weights.
    """
    if query.dtype is not torch.bfloat16 or wide.WIDTH is torch.bfloat16:
        return _sdpa(module, query, key, value, attention_mask, rest)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    out, _ = _sdpa(module, query.float(), key.float(), value.float(), attention_mask, rest)
    return out.to(query.dtype), None


def attend_shared(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of N sessions, one new token each, every token within its own session.

    Args:
        query: `[1, H, N, Dh]`.

    Returns: `[1, N, H, Dv]`, and no weights.

    Raises:
        RuntimeError: the family attends in a way that is not known for several sessions.
    """
    if attention_mask is not None or rest.get("position_bias") is not None:
        raise RuntimeError("this family's attention takes more than queries, keys and values")
    sessions: Sessions = _current.sessions
    seen = sessions.visible(module.layer_idx, key, value)
    # Some families have only this function of their own: it knows soft caps and sinks.
    alone = sys.modules[type(module).__module__].eager_attention_forward if _current.eager else attend
    outs = [
        alone(module, query[:, :, index : index + 1], keys, values, None, **rest)[0]
        for index, (keys, values) in enumerate(seen)
    ]
    return torch.cat(outs, dim=1), None


def _sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    rest: dict[str, Any],
) -> tuple[torch.Tensor, None]:
    got: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **rest)
    return got


_current: Final = threading.local()

ALL_ATTENTION_FUNCTIONS.register(ALONE, attend)
ALL_ATTENTION_FUNCTIONS.register(SHARED, attend_shared)
ALL_MASK_ATTENTION_FUNCTIONS.register(ALONE, sdpa_mask)
