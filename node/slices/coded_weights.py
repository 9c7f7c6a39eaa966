"""The tensors of a quantised checkpoint as a model is loaded from them: codes and scales back in one hand, checked.

A matrix `x.weight` of the checkpoint that was quantised is in the files as `x.weight.codes`, `x.weight.scale` and,
with 4 bits, `x.weight.zero`; all other tensors are what they were. Layout: `docs/quantised-folders.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch

from node.slices.errors import BadCheckpoint
from node.slices.kernels.coded import Coded, Origin
from node.slices.weights import StoredTensor

CODES: Final = ".codes"
SCALE: Final = ".scale"
ZERO: Final = ".zero"
TURNED: Final = ".turned"
"""In place of `.codes` where the matrices are stored turned around in the checkpoint that was quantised."""
_LARGEST: Final = (127 + 120) << 7
"""As bits of a bfloat16, 2 to the 120th: with scales and zero points below it every weight is finite."""
_AGAIN: Final = "quantise the model again"


class Source(Protocol):
    """A tensor that reads itself when it is indexed."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedTensor:
    """One matrix, or a stack of them, that is stored as codes."""

    name: str
    codes: StoredTensor
    scale: StoredTensor
    zero: StoredTensor | None
    turned: bool

    @property
    def path(self) -> Path:
        """The file of the codes."""
        return self.codes.path

    @property
    def columns(self) -> int:
        """Weights of a row."""
        return self.codes.shape[-1] * (1 if self.zero is None else 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor it stands for."""
        shape = (*self.codes.shape[:-1], self.columns)
        return (*shape[:-2], shape[-1], shape[-2]) if self.turned else shape

    def __getitem__(self, _index: Any) -> torch.Tensor:
        """Read all of it. Raises `BadCheckpoint` when codes, scales or zero points cannot be."""
        codes, scale = self.codes.read(), self.scale.read()
        if codes.dtype is torch.int8 and codes.numel() and int(codes.numpy().min()) == -128:
            raise BadCheckpoint(self.path, "holds the code -128", tensor=self.codes.name, next_step=_AGAIN)
        bits = scale.view(torch.int16).numpy().view(np.uint16)
        if bits.size and not (int(bits.min()) > 0 and int(bits.max()) < _LARGEST):
            problem = "holds a scale that is not a number above zero"
            raise BadCheckpoint(self.scale.path, problem, tensor=self.scale.name, next_step=_AGAIN)
        parts = [codes, scale]
        if self.zero is not None:
            zero = self.zero.read()
            bits = zero.view(torch.int16).numpy().view(np.uint16) & np.uint16(0x7FFF)
            if bits.size and int(bits.max()) >= _LARGEST:
                problem = "holds a zero point out of range"
                raise BadCheckpoint(self.zero.path, problem, tensor=self.zero.name, next_step=_AGAIN)
            parts.append(zero)
        origin = Origin(self.path, self.name)
        return Coded(parts, self.columns, frozenset((origin,)), turned=self.turned)


def base_name(disk_name: str) -> str:
    """The name of the tensor that a tensor in a quantised folder is a part of, or its own."""
    for suffix in (CODES, TURNED, SCALE, ZERO):
        if disk_name.endswith(suffix):
            return disk_name.removesuffix(suffix)
    return disk_name


def gather(tensors: Mapping[str, StoredTensor], group: int | None) -> dict[str, Source]:
    """Put the parts of quantised matrices together.

    Args:
        tensors: of a quantised folder, by name on disk.
        group: the length of its groups; None where it holds 8 bits.

    Returns: tensors by the names they have in the checkpoint that was quantised.

    Raises:
        BadCheckpoint: a part is missing, is stored as another type, or does not fit the others.
    """
    found: dict[str, Source] = {}
    used: set[str] = set()
    for disk_name, codes in tensors.items():
        if not disk_name.endswith((CODES, TURNED)):
            continue
        name = base_name(disk_name)
        if name in found or name in tensors:
            raise BadCheckpoint(codes.path, "is there twice", tensor=name, next_step=_AGAIN)
        coded = _coded(name, codes, tensors, group)
        used.update(one.name for one in (codes, coded.scale, coded.zero) if one is not None)
        found[name] = coded
    for name, tensor in tensors.items():
        if name not in used:
            tensor.check_dtype(table=tensor.holds_integers)
            found[name] = tensor
    return found


def elements(sources: Mapping[str, Source]) -> int:
    """Numbers in all the tensors together."""
    return sum(math.prod(source.shape) for source in sources.values())


def _coded(
    name: str, codes: StoredTensor, tensors: Mapping[str, StoredTensor], group: int | None
) -> CodedTensor:
    four = codes.stored_dtype == "U8"
    if codes.stored_dtype not in ("I8", "U8") or (four and group is None):
        raise _bad(codes, f"is stored as {codes.stored_dtype}, which the folder's format does not have")
    if len(codes.shape) < 2:
        raise _bad(codes, f"has shape {list(codes.shape)}, which is no matrix")
    *rows, width = codes.shape
    groups: tuple[int, ...] = ()
    if four and group is not None:
        if width * 2 % group:
            raise _bad(codes, f"rows of {width * 2} weights do not divide into groups of {group}")
        groups = (width * 2 // group,)
    parts = []
    for suffix in (SCALE, ZERO) if four else (SCALE,):
        part = tensors.get(name + suffix)
        if part is None:
            raise _bad(codes, f"has no {name + suffix} beside it")
        if part.stored_dtype != "BF16" or part.shape != (*rows, *groups):
            problem = f"is {part.stored_dtype}{list(part.shape)}, its codes ask for BF16{[*rows, *groups]}"
            raise _bad(part, problem)
        parts.append(part)
    return CodedTensor(
        name=name,
        codes=codes,
        scale=parts[0],
        zero=parts[1] if four else None,
        turned=codes.name.endswith(TURNED),
    )


def _bad(tensor: StoredTensor, problem: str) -> BadCheckpoint:
    return BadCheckpoint(tensor.path, problem, tensor=tensor.name, next_step=_AGAIN)
