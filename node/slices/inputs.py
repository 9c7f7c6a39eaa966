"""What a forward is given, looked at before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from node.slices.errors import BadInput
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What some layers take: ids alone, hidden states alone, or both."""

    layers: LayerRange
    width: int
    """W, of hidden states."""
    vocab_size: int
    """V; ids are below it."""
    embeds: bool
    """Whether the layers begin with the embedding, and so take ids alone."""
    needs_ids: bool
    """Whether the layers take ids beside hidden states."""

    def check(self, x: torch.Tensor, ids: torch.Tensor | None) -> None:
        """Check token ids `[1, T]` or hidden states `[1, T, W]`, and ids `[1, T]` beside these.

        Raises:
            BadInput: this is not what the layers take.
        """
        if x.dtype is torch.int64:
            if not self.embeds:
                raise BadInput(
                    f"token ids, but layers {self.layers} of this slice do not begin with the embedding"
                )
            _check_ids(x, self.vocab_size)
        elif x.dim() != 3 or x.shape[0] != 1 or x.shape[1] < 1 or x.shape[2] != self.width:
            raise BadInput(f"hidden states of shape {list(x.shape)}; expected [1, T, {self.width}]")
        elif not x.is_floating_point():
            raise BadInput(f"hidden states of dtype {x.dtype}; expected a float type")
        needed = x.dtype is not torch.int64 and self.needs_ids
        if (ids is not None) != needed:
            raise BadInput(
                f"layers {self.layers} need {'the' if needed else 'no'} token ids beside what is given"
            )
        if ids is not None:
            _check_ids(ids, self.vocab_size)
            if ids.shape != x.shape[:2]:
                raise BadInput(f"{ids.shape[1]} token ids beside the hidden states of {x.shape[1]} tokens")


def _check_ids(ids: torch.Tensor, vocab_size: int) -> None:
    if ids.dtype is not torch.int64 or ids.dim() != 2 or ids.shape[0] != 1 or ids.shape[1] < 1:
        raise BadInput(f"token ids of shape {list(ids.shape)}; expected [1, T]")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        raise BadInput(f"token ids must be from 0 to {vocab_size - 1}")
