"""Attention under names of our own in transformers' registry, so that one forward can hold tokens of several sessions.

A model without packed weights keeps transformers' own function, bit for bit. With packed weights one new token's heads
that share keys are taken as several queries of one head, which torch's fused attention runs several times faster; and
bfloat16 is widened first on processors without arithmetic for it, where it would take several times as long.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch.nn import functional
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from node.slices.kernels import wide

ALONE: Final = "lamella"
EXACT: Final = "lamella_exact"
"""transformers' own fused attention under another name, so that a family which acts by the name is found out."""
ONE: Final = "lamella_one"
SHARED: Final = "lamella_shared"
"""These have no function for masks in the registry, so the model makes none: a token sees all its cache shows."""


class Padded(NamedTuple):
    """What every session's token attends to, in tensors of the length of the longest."""

    keys: torch.Tensor
    """`[N, K, S, Dh]`."""
    values: torch.Tensor
    """`[N, K, S, Dv]`."""
    mask: torch.Tensor | None
    """`[N, 1, 1, S]`, zero where there are rows and minus infinity after them; None where all are as long."""


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

    def padded(self, layer: int) -> Padded | None:
        """The same for all sessions at once, valid until the next call; None where that would be wasteful."""
        ...


class Attention:
    """How one loaded model attends."""

    def __init__(self, model: Any, *, may_rename: bool = True, packed: bool = False) -> None:
        """Let the model attend through here, where it looks its attention up in the registry.

        Args:
            may_rename: whether the family acts the same by any name.
            packed: whether its weights are, so that its numbers are not transformers' to the bit.
        """
        found = model.config._attn_implementation
        self._configs: tuple[Any, ...] = ()
        if may_rename and found in ("sdpa", "eager") and model._supports_attention_backend:
            held = (getattr(module, "config", None) for module in model.modules())
            used = (one for one in held if getattr(one, "_attn_implementation", None) == found)
            self._configs = tuple({id(one): one for one in used}.values())
        self._own = self._now = found
        if self._configs and found == "sdpa":
            self._own = ALONE if packed else EXACT
        self._name(self._own)

    @property
    def can_share(self) -> bool:
        """Whether the tokens of several sessions can be in one forward."""
        return bool(self._configs)

    @property
    def ignores_open_masks(self) -> bool:
        """Whether a mask that hides nothing changes no bit. transformers' own function takes another way for it."""
        return self.can_share and self._own in (ALONE, "eager")

    def alone(self) -> None:
        """The next forwards' tokens are of one session."""
        self._name(self._own)

    def one(self) -> None:
        """The next forwards have one token, which may be told by having no mask."""
        _current.name = self._own
        self._name(ONE)

    @contextmanager
    def shared(self, sessions: Sessions) -> Iterator[None]:
        """Within this, a forward's tokens `[1, N, D]` are of N sessions."""
        _current.sessions, _current.name = sessions, self._own
        self._name(SHARED)
        try:
            yield
        finally:
            _current.sessions = None

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Within this, the model attends by another function of the registry."""
        self._name(name)
        try:
            yield
        finally:
            self._name(self._own)

    def attend(self, module: Any, *args: Any, **options: Any) -> tuple[torch.Tensor, Any]:
        """Attend as a module of the model would now."""
        attended: tuple[torch.Tensor, Any] = _function(self._now, module)(module, *args, **options)
        return attended

    def _name(self, name: str) -> None:
        # Telling a config takes a tenth of a millisecond, and most forwards attend as the one before.
        if name == self._now:
            return
        self._now = name
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
    given, heads, stored = query.dtype, query.shape[1], key.shape[1]
    if query.shape[2] == 1 and attention_mask is None and rest.get("position_bias") is None:
        if query.dtype is torch.bfloat16:
            query, key, value = query.to(wide.WIDTH), key.to(wide.WIDTH), value.to(wide.WIDTH)
        folded = query.reshape(1, stored, heads // stored, query.shape[3])
        seen = functional.scaled_dot_product_attention(folded, key, value, scale=rest.get("scaling"))
        return seen.reshape(1, 1, heads, value.shape[3]).to(given), None
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
    padded = sessions.padded(module.layer_idx) if _current.name == ALONE else None
    if padded is not None:
        return _attend_padded(query, padded, rest.get("scaling")), None
    seen = sessions.visible(module.layer_idx, key, value)
    alone = _function(_current.name, module)
    outs = [
        alone(module, query[:, :, index : index + 1], keys, values, None, **rest)[0]
        for index, (keys, values) in enumerate(seen)
    ]
    return torch.cat(outs, dim=1), None


def _attend_padded(query: torch.Tensor, seen: Padded, scaling: float | None) -> torch.Tensor:
    """`[1, H, N, Dh]` to `[1, N, H, Dv]`; heads that share keys are queries of one head, as in `attend`."""
    _, heads, count, width = query.shape
    stored = seen.keys.shape[1]
    folded = query[0].view(stored, heads // stored, count, width).permute(2, 0, 1, 3)
    out = functional.scaled_dot_product_attention(
        folded, seen.keys, seen.values, attn_mask=seen.mask, scale=scaling
    )
    return out.reshape(1, count, heads, out.shape[3])


def _attend_one(module: Any, *args: Any, **options: Any) -> Any:
    return _function(_current.name, module)(module, *args, **options)


def _function(name: str, module: Any) -> Any:
    """What a module attends by under a name; some families have a function of their own, with soft caps and sinks."""
    if name == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[name]


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
ALL_ATTENTION_FUNCTIONS.register(EXACT, sdpa_attention_forward)
ALL_ATTENTION_FUNCTIONS.register(ONE, _attend_one)
ALL_ATTENTION_FUNCTIONS.register(SHARED, attend_shared)
ALL_MASK_ATTENTION_FUNCTIONS.register(ALONE, sdpa_mask)
ALL_MASK_ATTENTION_FUNCTIONS.register(EXACT, sdpa_mask)
