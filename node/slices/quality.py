"""What weights of fewer bits cost a model: its logits on a text, and how far two sets of them are apart.

Every position's logits come from the model reading the text one token at a time, as it does while it answers. A model
that does not fit the memory is read in stages, a few layers at a time, as a chain of hosts would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from node.slices import tensors
from node.slices.load import load_slice
from node.slices.spec import SliceSpec, Want
from wire.tensors import WeightFormat
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A model in one format, as it is to read a text."""

    folder: Path
    num_layers: int
    dtype: str = "bfloat16"
    weights: WeightFormat = WeightFormat.NATIVE
    stages: int = 1
    """In how many parts its layers are loaded, one after the other."""


def stages(num_layers: int, model_bytes: int, budget_bytes: int) -> int | None:
    """In how many stages a model is read so that each fits a budget; None if not even single layers do."""
    count = max(1, math.ceil(model_bytes / max(1, budget_bytes)))
    return count if count <= num_layers else None


def logits(
    reader: Reader, windows: Sequence[Sequence[int]], *, progress: Callable[[float], None] | None = None
) -> tuple[torch.Tensor, int]:
    """Read windows of token ids, each from an empty cache.

    Args:
        progress: told the part done after each token.

    Returns: the logits `[N, V]`, float32, after every token but each window's last; and the bytes of the weights.

    Raises: what `load_slice` and `Slice.forward` raise.
    """
    ids = [tensors.from_ids([token]) for window in windows for token in window[:-1]]
    states = ids
    ends = [round(reader.num_layers * index / reader.stages) for index in range(reader.stages + 1)]
    nbytes = 0
    for index, (start, end) in enumerate(pairwise(ends)):
        head = index == reader.stages - 1
        spec = SliceSpec(
            checkpoint=reader.folder,
            layers=LayerRange(start, end),
            embed=index == 0,
            head=head,
            dtype=reader.dtype,
            weights=reader.weights,
        )
        piece = load_slice(spec)
        nbytes += piece.weight_bytes
        found = []
        at = 0
        for window in windows:
            cache = piece.new_cache(spec.layers)
            for position in range(len(window) - 1):
                want = Want.LOGITS if head else Want.HIDDEN
                found.append(piece.forward(states[at], cache=cache, position=position, want=want))
                at += 1
                if progress is not None:
                    progress((index + at / len(ids)) / reader.stages)
        states = found
        del piece  # before the next stage is loaded
    return torch.stack(states), nbytes


def relative_error(got: torch.Tensor, reference: torch.Tensor) -> float:
    """The norm of the difference over the norm of the reference, over all positions `[N, V]` together."""
    return float((got - reference).norm() / reference.norm())


def top1_agreement(got: torch.Tensor, reference: torch.Tensor) -> float:
    """The part of the positions `[N, V]` at which both have the same largest logit."""
    return float((got.argmax(1) == reference.argmax(1)).float().mean())


def perplexity(found: torch.Tensor, following: Sequence[int]) -> float:
    """The perplexity of the tokens that follow each of the positions `[N, V]`."""
    picked = torch.log_softmax(found.double(), dim=1)[torch.arange(len(following)), torch.tensor(following)]
    return math.exp(min(700.0, -float(picked.mean())))
