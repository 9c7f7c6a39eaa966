"""Attention under a name of our own in transformers' registry, so that a step can hold several sessions and bfloat16 is fast.

In float32 and float16 it is transformers' own function, bit for bit. On processors without bfloat16 arithmetic torch's fused
attention takes several times as long for bfloat16 as for float32, so bfloat16 is widened first.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from node.slices.kernels import wide

NAME: Final = "lamella"


def use(model: Any) -> bool:
    """Let a loaded model attend through here, where it would use `sdpa` by the registry; says whether it does."""
    if model.config._attn_implementation != "sdpa" or not model._supports_attention_backend:
        return False
    for config in {id(one): one for one in _configs(model)}.values():
        config._attn_implementation = NAME
    return True


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

    Returns: `[1, T, H, Dv]`, and no weights.
    """
    if query.dtype is not torch.bfloat16 or wide.WIDTH is torch.bfloat16:
        return _sdpa(module, query, key, value, attention_mask, rest)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    out, _ = _sdpa(module, query.float(), key.float(), value.float(), attention_mask, rest)
    return out.to(query.dtype), None


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


def _configs(model: Any) -> list[Any]:
    held = [getattr(module, "config", None) for module in model.modules()]
    return [one for one in held if getattr(one, "_attn_implementation", None) == "sdpa"]


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
