"""One tensor of a checkpoint to the bytes that stand for it in a quantised folder, a few rows at a time.

The bytes follow from the tensor alone: quantising is elementwise, and rows are quantised each on its own.
Layout: `docs/quantised-folders.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import torch

from node.slices.coded_weights import CODES, SCALE, TURNED, ZERO
from node.slices.kernels import pack, quantise
from node.slices.kernels.coded import to_nibbles
from node.slices.quantisable import Recipe
from wire.tensors import WeightFormat

WEIGHTS_AT_ONCE: Final = 1 << 22
"""Read and quantised together; a matrix that is stored turned around is read whole."""


class Part(NamedTuple):
    """One tensor of the quantised folder."""

    name: str
    dtype: str
    """As safetensors has it."""
    shape: tuple[int, ...]
    nbytes: int


class Written(NamedTuple):
    """Some bytes of a part."""

    part: int
    """Its place among the parts of the tensor."""
    offset: int
    data: memoryview


def parts(recipe: Recipe) -> tuple[Part, ...]:
    """What a tensor becomes: itself, or its codes, scales and zero points."""
    tensor = recipe.tensor
    if recipe.weights is WeightFormat.NATIVE:
        return (Part(recipe.name, tensor.stored_dtype, tensor.shape, tensor.nbytes),)
    *lead, rows, columns = _upright(recipe)
    count = math.prod(lead) * rows
    codes = recipe.name + (TURNED if recipe.turned else CODES)
    if recipe.weights is WeightFormat.INT8:
        return (
            Part(codes, "I8", (*lead, rows, columns), count * columns),
            Part(recipe.name + SCALE, "BF16", (*lead, rows), count * 2),
        )
    groups = columns // pack.GROUPS[recipe.weights]
    return (
        Part(codes, "U8", (*lead, rows, columns // 2), count * columns // 2),
        Part(recipe.name + SCALE, "BF16", (*lead, rows, groups), count * groups * 2),
        Part(recipe.name + ZERO, "BF16", (*lead, rows, groups), count * groups * 2),
    )


def encoded(recipe: Recipe) -> Iterator[Written]:
    """The bytes of all parts, in pieces that follow each other within a part. Raises `BadCheckpoint`."""
    at = [0] * len(parts(recipe))
    for piece in _pieces(recipe):
        for index, one in enumerate(_converted(piece, recipe.weights)):
            data = _bytes(one)
            if len(data):
                yield Written(index, at[index], data)
            at[index] += len(data)


def _upright(recipe: Recipe) -> tuple[int, ...]:
    shape = recipe.tensor.shape
    return (*shape[:-2], shape[-1], shape[-2]) if recipe.turned else shape


def _pieces(recipe: Recipe) -> Iterator[torch.Tensor]:
    """Rows `[n, I]` of all matrices, one after the other; a tensor of one dimension as it is."""
    tensor = recipe.tensor
    if len(tensor.shape) < 2:
        yield tensor.read()
        return
    rows = math.prod(tensor.shape[:-1])
    if recipe.turned:
        height = tensor.shape[-2]
        for start in range(0, rows, height):
            yield tensor.read_rows(start, start + height).t()
        return
    step = max(1, WEIGHTS_AT_ONCE // max(1, tensor.shape[-1]))
    for start in range(0, rows, step):
        yield tensor.read_rows(start, min(start + step, rows))


def _converted(rows: torch.Tensor, weights: WeightFormat) -> tuple[torch.Tensor, ...]:
    if weights is WeightFormat.NATIVE:
        return (rows,)
    # As the loader casts what is stored otherwise, before anything else.
    native = rows.to(torch.bfloat16)
    if weights is WeightFormat.INT8:
        return tuple(quantise.to_int8(native))
    codes, scale, zero = quantise.to_int4(native.contiguous(), pack.GROUPS[weights])
    return to_nibbles(codes), scale, zero


def _bytes(tensor: torch.Tensor) -> memoryview:
    plain = tensor.contiguous().view(-1)
    return plain.view(torch.uint8).numpy().data if plain.numel() else memoryview(b"")
