"""What becomes of every tensor of a checkpoint when it is quantised, found out by packing the model without a number.

The model is loaded and packed as always, with tensors that know where they come from and nothing else. So which matrix
gets which format, what transformers does to it on the way and what is joined with what is not told a second time here.
A tensor is quantised in the file if all it becomes is rows of packed matrices of one format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from node.slices import families, load, names
from node.slices.coded_weights import Source
from node.slices.errors import BadCheckpoint
from node.slices.facts import read_facts
from node.slices.families import Family
from node.slices.kernels import pack
from node.slices.kernels.coded import Origin
from node.slices.kernels.traced import Mixed, Traced, trace
from node.slices.spec import SliceSpec
from node.slices.weights import StoredTensor, Weights
from wire.tensors import WeightFormat
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one tensor becomes."""

    name: str
    """In the quantised folder; the tensor's own but for a head that shares the embedding's."""
    tensor: StoredTensor
    weights: WeightFormat
    """`NATIVE` for a tensor that is copied as it is."""
    turned: bool = False
    """Whether its matrices `[..., I, O]` are quantised as `[..., O, I]`."""


@dataclass(slots=True)
class _Seen:
    """One matrix that a model is made of, and what it is kept in; None where it is not rows of tensors on disk."""

    origins: frozenset[Origin]
    kept: tuple[WeightFormat, bool] | None


def recipes(folder: Path, weights: WeightFormat) -> list[Recipe]:
    """What becomes of every tensor that the model reads, in no order.

    Raises: `UnsupportedModel`, `BadCheckpoint` as `load_slice` does.
    """
    facts = read_facts(folder)
    if facts.weights is not WeightFormat.NATIVE:
        raise BadCheckpoint(
            folder,
            f"is quantised already, to {facts.weights.value}",
            next_step="give the checkpoint that it was quantised from",
        )
    spec = SliceSpec(
        checkpoint=folder,
        layers=LayerRange(0, facts.num_layers),
        embed=True,
        head=True,
        weights=weights,
    )
    shared = _shared_embedding(spec)
    shown: dict[str, Source] = {}

    def present(sources: Mapping[str, Source], family: Family) -> Mapping[str, Any]:
        shown.update(sources)
        if shared is not None:
            shown.setdefault(f"{family.head}.weight", sources[shared])
        return {name: _Shown(name, source) for name, source in shown.items()}

    filled = load.fill(spec, present=present, untied=shared is not None)
    kept = _agreed(_packed(filled.model, weights))
    found = []
    for name, tensor in shown.items():
        form, turned = kept.get(name, (WeightFormat.NATIVE, False))
        # A head of the embedding's weights that is not packed is not there twice.
        if isinstance(tensor, StoredTensor) and (name == tensor.name or form is not WeightFormat.NATIVE):
            found.append(Recipe(name=name, tensor=tensor, weights=form, turned=turned))
    return found


def _shared_embedding(spec: SliceSpec) -> str | None:
    """The name on disk of an embedding whose weights are the head's too; None where the head has its own."""
    family, config = families.load_config(spec.checkpoint)
    on_disk = names.Names(load.outline(families.causal_class(family), config, spec), family)
    if not on_disk.tied:
        return None
    weights = Weights(
        spec.checkpoint,
        wanted=lambda name: on_disk.module_name(name) == f"{family.embed}.weight",
        on_read=lambda _count: None,
    )
    return next(iter(weights.tensors), None)


def _packed(model: Any, weights: WeightFormat) -> list[_Seen]:
    """Pack a model of traced tensors; returns every matrix of it."""
    seen: list[_Seen] = []

    def replace(linear: nn.Linear, weights: WeightFormat) -> nn.Module:
        kept = pack.kept_format(linear.out_features, linear.in_features, weights)
        weight: torch.Tensor = linear.weight
        if isinstance(weight, Traced):
            whole = not isinstance(weight, Mixed) and kept is not WeightFormat.NATIVE
            seen.append(_Seen(weight.origins, (kept, weight.turned) if whole else None))
        return nn.Identity()

    pack.pack(model, weights, embed=True, replace=replace)
    return seen + [_Seen(one.origins, None) for one in model.parameters() if isinstance(one, Traced)]


def _agreed(seen: list[_Seen]) -> dict[str, tuple[WeightFormat, bool]]:
    """The one format of each tensor by its name; what is wanted in several, or is part of what is not packed, has none.

    A matrix is packed from codes or from numbers, so one tensor that stays makes all that it is joined with stay.
    """
    kept: dict[str, tuple[WeightFormat, bool]] = {}
    stays: set[str] = set()
    for one in seen:
        for name in (origin.name for origin in one.origins):
            if one.kept is None or kept.setdefault(name, one.kept) != one.kept:
                stays.add(name)
    before = -1
    while before < len(stays):
        before = len(stays)
        for one in seen:
            joined = {origin.name for origin in one.origins}
            if joined & stays:
                stays |= joined
    return {name: form for name, form in kept.items() if name not in stays}


class _Shown:
    """A tensor on disk that indexes to its trace."""

    def __init__(self, name: str, tensor: Source) -> None:
        self.name, self.path, self.shape = name, tensor.path, tensor.shape
        self._dtype = tensor.dtype if isinstance(tensor, StoredTensor) else torch.bfloat16

    def __getitem__(self, _index: Any) -> torch.Tensor:
        if len(self.shape) < 2 or not self._dtype.is_floating_point:
            return torch.zeros(self.shape, dtype=self._dtype)
        return trace(self.shape, Origin(self.path, self.name))
