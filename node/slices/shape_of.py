"""What a model costs layer by layer, read off its config alone: no tensor is there, and none is read.

The model is built on the meta device, where it has shapes and no memory. It is packed there as a host packs it, with
modules that only count, and one token is run through it twice to see what its caches keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers.cache_utils import DynamicCache

from node.planning.shape import LayerShape, ModelShape
from node.slices import adapters, beside, build, cache, cache_plan, families, load
from node.slices.facts import read_facts
from node.slices.families import Family
from node.slices.kernels import experts, inner, pack
from node.slices.names import Place, is_tied, place_of
from node.slices.spec import SliceSpec
from node.slices.state_cache import layer_tensors
from wire.limits import MAX_POSITIONS
from wire.tensors import WeightFormat
from wire.types import LayerRange

_SCALE_BYTES: Final = 2
"""Scales and zero points are bfloat16."""
_CHOSEN: Final = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
_META_FAULTS: Final = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)
"""What a family's forward may raise that looks at a value where there are none."""
_META_EXPERTS: Final = "batched_mm"
"""The way to compute experts that looks at no value."""


def read_shape(folder: Path) -> ModelShape:
    """What a model costs. Needs `config.json`, and `lamella.json` of a quantised folder; imports torch.

    The memory of sessions is a config's word for the few families whose forward cannot be run without values.

    Raises `BadCheckpoint` or `UnsupportedModel`.
    """
    facts = read_facts(folder)
    family, config = families.load_config(folder)
    text = config.get_text_config()
    cache_plan.check_kinds(text, family.state)
    spec = SliceSpec(checkpoint=folder, layers=LayerRange(0, facts.num_layers), embed=True, head=True)
    model = load.outline(families.causal_class(family), config, spec).eval()
    tied = is_tied(model, family)
    narrow = facts.dtype == "bfloat16"
    element = torch.zeros((), dtype=getattr(torch, facts.dtype)).element_size()
    keeps = _kept(model.to(getattr(torch, facts.dtype)), text, family)
    formats = tuple(WeightFormat) if facts.weights is WeightFormat.NATIVE else (facts.weights,)
    parts = _parts(model, family, small_bytes=4 if inner.suits(model) else 2)
    native = {place: element * part.elements for place, part in parts.items()}

    def weights(place: Place | int) -> dict[WeightFormat, int]:
        found = parts[place].weights if place in parts else _Part().weights
        return found if narrow else {**found, WeightFormat.NATIVE: native.get(place, 0)}

    def reads(index: int) -> dict[WeightFormat, int]:
        held = weights(index)
        return {form: held[form] - unread for form, unread in _unread(parts[index], text).items()}

    embed = sum(weights(place)[WeightFormat.NATIVE] for place in (Place.EMBED, Place.BEFORE))
    everywhere = weights(Place.EVERYWHERE)[WeightFormat.NATIVE]
    return ModelShape(
        layers=tuple(
            replace(kept, weights=weights(index), reads=reads(index)) for index, kept in enumerate(keeps)
        ),
        formats=formats,
        dtype=facts.dtype,
        embed_bytes=embed,
        head={form: weights(Place.HEAD)[form] + weights(Place.AFTER)[form] for form in WeightFormat},
        tied=tied,
        slice_bytes=everywhere + (embed if family.tokens == "embedded" else 0),
        hidden_bytes=facts.hidden_size * element,
        joined=facts.joined,
        max_positions=facts.max_positions,
    )


def packed_bytes(rows: int, columns: int, weights: WeightFormat) -> int:
    """Bytes of a matrix of this shape when `weights` are asked for; of its codes, scales and zero points."""
    kept = pack.kept_format(rows, columns, weights)
    if kept is WeightFormat.NATIVE:
        return 2 * rows * columns
    if kept is WeightFormat.INT8:
        return rows * columns + _SCALE_BYTES * rows
    return rows * columns // 2 + 2 * _SCALE_BYTES * rows * (columns // pack.GROUPS[kept])


@dataclass(slots=True)
class _Part:
    """What was counted of one part of the model."""

    elements: int = 0
    weights: dict[WeightFormat, int] = field(default_factory=lambda: dict.fromkeys(WeightFormat, 0))
    of_experts: dict[WeightFormat, int] = field(default_factory=lambda: dict.fromkeys(WeightFormat, 0))
    """Of those the experts' matrices, of which a token reads a few."""


class _Counted(nn.Module):
    """Stands for a packed matrix."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns


def _parts(model: Any, family: Family, *, small_bytes: int) -> Mapping[Place | int, _Part]:
    """Pack a model of no memory and count what each part of it has; spoils the model.

    Args:
        small_bytes: of an element of what is not packed.
    """
    parts: dict[Place | int, _Part] = {}
    pack.pack(
        model.to(torch.bfloat16),
        WeightFormat.INT8,
        embed=True,
        replace=lambda linear, weights: _Counted(linear.out_features, linear.in_features),  # noqa: ARG005 - pack's
    )
    of_experts = {name for name, module in model.named_modules() if experts.is_experts(module)}
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, _Counted):
            part = parts.setdefault(place_of(f"{name}.weight", family), _Part())
            part.elements += module.rows * module.columns
            is_expert = name.rsplit(".", 2)[0] in of_experts
            for form in WeightFormat:
                asked = pack.head_format(form) if module is head else form
                size = packed_bytes(module.rows, module.columns, asked)
                part.weights[form] += size
                part.of_experts[form] += size if is_expert else 0
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        place = place_of(name, family)
        part = parts.setdefault(place, _Part())
        part.elements += tensor.numel()
        for form in WeightFormat:
            part.weights[form] += (2 if place is Place.EMBED else small_bytes) * tensor.numel()
    return parts


def _unread(part: _Part, config: Any) -> dict[WeightFormat, int]:
    """Bytes of a layer that one token does not read: those of the experts that it does not choose."""
    counts = [getattr(config, name, None) for name in families.EXPERTS]
    count = max((one for one in counts if type(one) is int), default=0)
    chosen = next((one for name in _CHOSEN if type(one := getattr(config, name, None)) is int), count)
    if not count:
        return dict.fromkeys(WeightFormat, 0)
    return {form: size * max(0, count - chosen) // count for form, size in part.of_experts.items()}


def _kept(model: Any, config: Any, family: Family) -> list[LayerShape]:
    """What sessions keep in every layer; nothing of its weights yet."""
    kinds, windows = cache_plan.layer_kinds(config)
    keeps_state = cache_plan.CachePlan(config, torch.float32).keeps_state
    seen = _run_twice(model, config, family)
    found = []
    for index in range(len(kinds)):
        one, two = (each[index] for each in seen)
        window = windows[index]
        most = cache.capacity(MAX_POSITIONS, window) if window is not None and not keeps_state else window
        found.append(
            LayerShape(
                weights={},
                reads={},
                position_bytes=two - one,
                state_bytes=max(0, one - (two - one)),
                most_positions=most,
            )
        )
    return found


def _run_twice(model: Any, config: Any, family: Family) -> tuple[list[int], list[int]]:
    """Bytes of each layer's cache after one position and after two.

    Of layers that are alike only the first is run, since a forward without values takes longer than one with them.
    """
    stack = build.layer_stack(model, family)
    layers, borrows = list(stack), beside.key_sources(config)
    first = list(range(len(layers))) if borrows else _first_alike(layers, config)
    crossing = build.Crossing(family.streams)
    crossing.begin(LayerRange(0, len(layers)), None)
    try:
        for index, alike in enumerate(first):
            if alike != index:
                hole = build.Position(index, stack, crossing, keep=False, extra_outputs=family.extra_outputs)
                adapters.furnish_hole(model.config.model_type, stack[index], hole)
                stack[index] = hole
        one, two = _cache_bytes(model, config)
    except _META_FAULTS:
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        row = 2 * heads * width * model.dtype.itemsize
        one = [0 if index in borrows else row for index in range(len(layers))]
        two = [2 * each for each in one]
    finally:
        for index, layer in enumerate(layers):
            stack[index] = layer
    return [one[index] for index in first], [two[index] for index in first]


def _first_alike(layers: Sequence[nn.Module], config: Any) -> list[int]:
    """For every layer the number of the first that keeps the same: of the same kind, window and parameters."""
    kinds, windows = cache_plan.layer_kinds(config)
    seen: dict[object, int] = {}
    return [
        seen.setdefault(
            (
                kinds[index],
                windows[index],
                tuple((name, one.shape) for name, one in layer.named_parameters()),
            ),
            index,
        )
        for index, layer in enumerate(layers)
    ]


def _cache_bytes(model: Any, config: Any) -> tuple[list[int], list[int]]:
    """Bytes of each layer's cache after one token and after two, of a model on the meta device."""
    model.config._experts_implementation = config._experts_implementation = _META_EXPERTS
    seen: list[list[int]] = []
    held = DynamicCache(config=config)
    with torch.no_grad(), torch.device("meta"):
        for _ in range(2):
            model(input_ids=torch.zeros(1, 1, dtype=torch.int64), past_key_values=held, use_cache=True)
            each = [sum(one.nbytes for one in layer_tensors(layer).values()) for layer in held.layers]
            seen.append([*each, *[0] * config.num_hidden_layers][: config.num_hidden_layers])
    return seen[0], seen[1]
