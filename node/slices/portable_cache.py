"""A session's state as a value: to keep and come back to, or as bytes for another host that has the same layers.

The bytes are a safetensors file whose metadata says whose state it is: model, layers, and positions. What comes from a
peer is compared with what the slice's own layers would hold at that length, in name, dtype and shape, before any of
it is taken; whether the numbers are true cannot be known. Going on from a state is exact: the next logits have the bits
that they would have had. Sliding layers hand over what their window still sees, so a session cannot be truncated to
before the length it was handed over at, save to nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from safetensors.torch import save

from node.slices.cache import SliceCache
from node.slices.cache_plan import CachePlan
from node.slices.errors import BadInput
from wire.types import LayerRange

FORMAT: Final = "lamella session state 1"
MAX_HEADER_BYTES: Final = 1024 * 1024
"""Security limit: the header of an exported state."""

_DTYPES: Final = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """The state of a session at one length, in memory of its own: the processor's, wherever the slice is."""

    layers: LayerRange
    length: int
    tensors: dict[str, torch.Tensor]
    """By layer and name, as `12.keys`."""


def snapshot(cache: SliceCache) -> SavedState:
    """Copy the state of a session. Raises `CacheBroken` if there is none to speak of."""
    cache.check_usable()
    tensors = {name: tensor.to("cpu", copy=True) for name, tensor in cache.held().items()}
    return SavedState(layers=cache.layers, length=cache.length, tensors=tensors)


def restore(cache: SliceCache, state: SavedState) -> None:
    """Put a session, of the same slice, back to a state that it or another session of the same layers was in.

    Raises:
        BadInput: the state is of other layers, or not of this model; the cache is unchanged.
    """
    _check(cache, state)
    plan = _plan_of(cache)
    cache.truncate(0)
    if state.length:
        copies = {name: tensor.to(plan.device, copy=True) for name, tensor in state.tensors.items()}
        cache.hold(copies, state.length, plan.templates)


def export(cache: SliceCache, model_id: str) -> bytes:
    """The state of a session of the model `model_id` as a safetensors file."""
    state = snapshot(cache)
    metadata = {
        "format": FORMAT,
        "model": model_id,
        "layers": str(state.layers),
        "length": str(state.length),
    }
    return save({name: tensor.contiguous() for name, tensor in state.tensors.items()}, metadata)


def import_(cache: SliceCache, data: bytes, model_id: str) -> None:
    """Put a session into the state that `export` wrote, here or elsewhere.

    Raises:
        BadInput: it is not such a file, or of another model, other layers or other shapes; the cache is unchanged.
    """
    header, start = _header(data)
    metadata = header.pop("__metadata__", None)
    expected = {"format": FORMAT, "model": model_id, "layers": str(cache.layers)}
    if not isinstance(metadata, dict) or {key: metadata.get(key) for key in expected} != expected:
        raise BadInput(f"the state is not one of layers {cache.layers} of this model")
    length = metadata.get("length")
    if not isinstance(length, str) or not length.isascii() or not length.isdecimal() or len(length) > 9:
        raise BadInput("the state has no length")
    body = memoryview(data)[start:]
    tensors = {name: _tensor(name, fields, body) for name, fields in header.items()}
    restore(cache, SavedState(layers=cache.layers, length=int(length), tensors=tensors))


def _plan_of(cache: SliceCache) -> CachePlan:
    if not isinstance(cache.plan, CachePlan):
        raise BadInput("the cache belongs to no slice")
    return cache.plan


def _check(cache: SliceCache, state: SavedState) -> None:
    """Raise `BadInput` unless the state is what the cache could hold at its length."""
    plan = _plan_of(cache)
    if state.layers != cache.layers:
        raise BadInput(f"the state is of layers {state.layers}, the session of {cache.layers}")
    if not 0 <= state.length <= plan.max_positions:
        raise BadInput(f"the state has {state.length} positions, the model {plan.max_positions}")
    expected = plan.shapes(state.layers, state.length) if state.length else {}
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.tensors.items()}
    if found.keys() != expected.keys():
        raise BadInput(f"the state has {len(found)} tensors, or other ones than the {len(expected)} expected")
    for name, shape in expected.items():
        if found[name] != shape:
            raise BadInput(f"tensor {name} of the state is {found[name]}, expected {shape}")
        if not torch.isfinite(state.tensors[name]).all():
            raise BadInput(f"tensor {name} of the state holds NaN or infinity")


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data starts."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise BadInput("the state is not a safetensors file, or is cut off in its header")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise BadInput("the state's header is not JSON") from error
    if not isinstance(header, dict):
        raise BadInput("the state's header is not an object")
    return header, 8 + length


def _tensor(name: str, fields: Any, body: memoryview) -> torch.Tensor:
    try:
        dtype, shape, (start, end) = fields["dtype"], fields["shape"], fields["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise BadInput("the state's header entries are malformed") from error
    numbers = [*shape, start, end] if isinstance(shape, list) and len(shape) <= 8 else [None]
    if not all(type(number) is int and 0 <= number <= 1 << 40 for number in numbers):
        raise BadInput("the state's header entries are malformed")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise BadInput(f"tensor {name[:80]} of the state is of a type that no cache holds")
    kind = _DTYPES[dtype]
    if not start <= end <= len(body) or end - start != math.prod(shape) * kind.itemsize:
        raise BadInput(f"tensor {name[:80]} of the state has not the bytes of its shape")
    if start == end:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(body[start:end]), dtype=kind).view(shape)
