"""The form of hidden states between two layers: in most families `[1, T, D]`, in some several streams of them.

What travels, and what a slice takes and gives, is `[1, T, W]` in every family: a token's streams stand side by side,
W = M D. So steps are cut, joined and counted in tokens without a word about families.
"""

from __future__ import annotations

import torch

STREAMS_FIRST = 0
"""`[M, 1, T, D]`."""
STREAMS_INSIDE = 2
"""`[1, T, M, D]`."""


def folded(hidden_states: torch.Tensor, axis: int | None) -> torch.Tensor:
    """`[1, T, W]` of what passes between a family's layers, whose streams are at `axis`; None where there is one."""
    if axis is None:
        return hidden_states
    if axis == STREAMS_FIRST:
        hidden_states = hidden_states.permute(1, 2, 0, 3)
    return hidden_states.flatten(2)


def unfolded(hidden_states: torch.Tensor, axis: int | None, like: torch.Tensor) -> torch.Tensor:
    """What a family's layers take, of `[1, T, W]`; laid out in memory as the whole model lays it out.

    Args:
        like: what the model itself would pass on here, for the size D of one stream.
    """
    if axis is None:
        return hidden_states
    one, count, width = hidden_states.shape
    size = like.shape[-1]
    streams = hidden_states.view(one, count, width // size, size)
    return streams.permute(2, 0, 1, 3).contiguous() if axis == STREAMS_FIRST else streams
