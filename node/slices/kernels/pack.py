"""Gives a loaded model the kernels for the weights it was asked to have.

Every `nn.Linear` of the kept layers and the head is replaced, one at a time, so that never more than one matrix exists
twice. What is small, or oddly shaped, keeps more bits than asked for, by a rule of its shape alone: which numerics a
host serves follows from the model and the format. Models in float32 and float16 are left to torch, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

import torch
from torch import nn

from node.slices import memory
from node.slices.kernels import experts, fused, half, inner, tiles
from node.slices.kernels.linear import DenseLinear, Int4Linear, Int8Linear
from wire.tensors import WeightFormat

LEAST_ROWS: Final = 64
"""Matrices with fewer rows, such as routers and gates, are not worth packing and do most harm when rounded."""
COLUMNS_MULTIPLE: Final = 16
"""torch's int8 kernel reads so many weights of a row at once; a row of another length gives wrong sums, or a crash."""
GIVEN_BACK_BYTES: Final = 1 << 20
"""After matrices of more than this are replaced their memory is given back, or a slice would be in memory twice."""
GROUPS: Final = {WeightFormat.INT4_32: 32, WeightFormat.INT4_64: 64, WeightFormat.INT4_128: 128}


class Replace(Protocol):
    """Makes the module that takes the place of one linear module."""

    def __call__(self, linear: nn.Linear, weights: WeightFormat) -> nn.Module: ...


def pack(
    model: Any,
    weights: WeightFormat,
    *,
    embed: bool,
    widen: bool = False,
    replace: Replace | None = None,
) -> None:
    """Replace the linear modules of a model in bfloat16; any other is left to torch by the caller.

    Args:
        weights: what to keep the matrices in.
        embed: whether the embedding is used, and not only loaded for a head that shares its weights.
        widen: whether the model is to compute at float32 between its matrices (`inner.suits`).
        replace: makes what takes the place of a linear module; `replacement`, other than for who only wants to know.
    """
    replace = replace or replacement
    make = partial(replace, weights=weights)
    head = model.get_output_embeddings()
    with torch.no_grad():
        # Only modules with parts: a list that held the linear modules would keep all that is replaced in memory.
        for module in [one for one in model.modules() if any(one.children()) or experts.is_experts(one)]:
            if (widen or weights is not WeightFormat.NATIVE) and experts.is_experts(module):
                experts.pack(module, make)
            for names in fused.SIBLINGS:
                if weights is not WeightFormat.NATIVE or _weights(module, names) <= fused.MOST_JOINED:
                    fused.join(module, names, make)
            for name, child in list(module.named_children()):
                # Some families keep a few modules in float32, whatever the model computes in.
                if type(child) is nn.Linear and child.weight.dtype is torch.bfloat16:
                    kept = head_format(weights) if child is head else weights
                    setattr(module, name, replace(child, kept))
                    if child.weight.nbytes > GIVEN_BACK_BYTES:
                        memory.give_back()
    half.settle(model)
    if not embed and not isinstance(model.get_output_embeddings(), (nn.Linear, DenseLinear)):
        drop_embedding(model)
    if widen:
        inner.widen(model)


def _weights(module: nn.Module, names: Sequence[str]) -> int:
    linears = [getattr(module, name, None) for name in names]
    return sum(one.weight.numel() for one in linears if type(one) is nn.Linear)


def head_format(weights: WeightFormat) -> WeightFormat:
    """The head keeps at least 8 bits: its rounding shows in every logit at once."""
    return weights if weights is WeightFormat.NATIVE else WeightFormat.INT8


def replacement(linear: nn.Linear, weights: WeightFormat) -> nn.Module:
    """The module that takes the place of one linear module."""
    kept = kept_format(linear.out_features, linear.in_features, weights)
    if kept is WeightFormat.NATIVE:
        return half.dense(linear)
    return Int4Linear(linear, GROUPS[kept]) if kept in GROUPS else Int8Linear(linear)


def kept_format(rows: int, columns: int, weights: WeightFormat) -> WeightFormat:
    """What a matrix of this shape is kept in when `weights` are asked for."""
    if weights is WeightFormat.NATIVE or rows < LEAST_ROWS or columns % COLUMNS_MULTIPLE:
        return WeightFormat.NATIVE
    group = GROUPS.get(weights)
    if group is None or columns % group or rows % tiles.ROWS_MULTIPLE:
        return WeightFormat.INT8
    return weights


def drop_embedding(model: Any) -> None:
    """Let go of an embedding that was loaded only for the head, which now has weights of its own."""
    embedding = model.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        embedding.weight = nn.Parameter(embedding.weight.new_empty(0), requires_grad=False)
