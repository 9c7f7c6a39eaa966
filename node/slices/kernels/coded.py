"""Weights that are kept as codes and pass for the bfloat16 tensor they stand for, until a module is packed from them.

Between the file and the packed module a matrix goes through transformers' loader, which stacks experts, and through our
own joining of projections. All of that moves whole rows about, and rows are quantised each on its own: so it is done
to codes, scales and zero points alike, and nothing is ever widened. Whatever would look into a row is refused.

The order of 4-bit codes here, as in files: byte j of a row holds column 2j in its low half and 2j + 1 in its high
half. Layout of the files: `docs/quantised-folders.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import torch

from node.slices.errors import BadCheckpoint
from node.slices.kernels import quantise

aten: Final = torch.ops.aten


class Origin(NamedTuple):
    """A tensor in a file, for messages."""

    path: Path
    name: str


class Looked(Exception):
    """An operation needs more than whole rows."""


def to_nibbles(codes: torch.Tensor) -> torch.Tensor:
    """Codes `[O, I]` from 0 to 15, I even, to `[O, I / 2]` uint8."""
    narrow = codes.to(torch.uint8)
    return narrow[:, 0::2] | narrow[:, 1::2] << 4


def from_nibbles(nibbles: torch.Tensor) -> torch.Tensor:
    """The codes `[O, I]` int32 of `[O, I / 2]` uint8."""
    return torch.stack((nibbles & 15, nibbles >> 4), dim=2).flatten(1).to(torch.int32)


class Rows(torch.Tensor):
    """Rows of one length, in any shape `[..., O, I]`, known by tensors that have something for each row.

    Passes for a bfloat16 tensor without memory. May be turned around, `[..., I, O]`, as some experts are stored.
    """

    parts: tuple[torch.Tensor, ...]
    """Each `[..., O, X]`, or `[..., O]`; the first has an X."""
    columns: int
    turned: bool
    origins: frozenset[Origin]

    @staticmethod
    def __new__(
        cls,
        parts: Sequence[torch.Tensor],
        columns: int,
        origins: frozenset[Origin],
        *,
        turned: bool = False,
    ) -> Self:
        """`columns` is the length I of a row."""
        shape = [*parts[0].shape[:-1], columns]
        if turned:
            shape[-2:] = shape[:-3:-1]
        made: Self = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bfloat16)
        made.parts, made.columns, made.turned, made.origins = tuple(parts), columns, turned, origins
        return made

    # Its stubs declare a method; torch's own subclasses switch it off by this same assignment.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # stubs declare a method

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # a class method, whatever torch's stubs say
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        try:
            if func not in _OPERATIONS:
                raise Looked(str(func))
            return _OPERATIONS[func](*args, **(kwargs or {}))
        except Looked as error:
            return cls.looked(func, args, kwargs or {}, error)

    @classmethod
    def looked(cls, _func: Any, args: Any, _kwargs: Any, error: Looked) -> Any:
        """What an operation gives that needs more than whole rows."""
        flat = [one for arg in args for one in (arg if isinstance(arg, list | tuple) else (arg,))]
        origin = min(origin for one in flat if isinstance(one, Rows) for origin in one.origins)
        problem = f"is quantised, where this model needs the numbers themselves ({error})"
        raise BadCheckpoint(origin.path, problem, tensor=origin.name) from error

    def of(self, parts: Sequence[torch.Tensor], *, turned: bool | None = None) -> Self:
        """Other rows of the same origin."""
        return type(self)(parts, self.columns, self.origins, turned=self.turned if turned is None else turned)

    def row_dim(self, dim: int) -> int:
        """The dimension of the parts that a dimension of this tensor is. Raises `Looked` for that along a row."""
        dim %= self.dim()
        last = self.dim() - 1
        if self.turned and dim >= last - 1:
            dim = last if dim == last - 1 else last - 1
        if dim == last:
            raise Looked("along a row")
        return dim


class Coded(Rows):
    """Rows of a quantised checkpoint: codes and scales, and zero points where they have 4 bits."""

    def as_int8(self) -> quantise.Int8:
        """See `Stored.as_int8`."""
        if len(self.parts) != 2:
            raise self._other("4 bits", "8 bits")
        codes, scale = self.parts
        return quantise.Int8(codes, scale)

    def as_int4(self, group: int) -> quantise.Int4:
        """See `Stored.as_int4`."""
        if len(self.parts) != 3:
            raise self._other("8 bits", "4 bits")
        codes, scale, zero = self.parts
        if scale.shape[-1] * group != self.columns:
            raise self._other(f"groups of {self.columns // scale.shape[-1]}", f"groups of {group}")
        return quantise.Int4(from_nibbles(codes), scale, zero)

    def _other(self, has: str, wants: str) -> BadCheckpoint:
        origin = min(self.origins)
        problem = f"is quantised to {has}, where a matrix of its shape has {wants}"
        return BadCheckpoint(origin.path, problem, tensor=origin.name, next_step="quantise the model again")


def _same(rows: Rows, *_args: Any, dtype: torch.dtype | None = None, **_kwargs: Any) -> Rows:
    if dtype not in (None, torch.bfloat16):
        raise Looked(f"as {dtype}")
    return rows.of(rows.parts)


def _alike(tensors: Sequence[torch.Tensor]) -> list[Rows]:
    """The tensors, if rows of one kind."""
    rows = [one for one in tensors if isinstance(one, Rows)]
    kinds = {
        (type(one), one.columns, one.turned, tuple((part.dtype, part.dim()) for part in one.parts))
        for one in rows
    }
    if len(rows) < len(tensors) or len(kinds) > 1:
        raise Looked("together with others")
    return rows


def _joined(rows: list[Rows], join: Callable[[tuple[torch.Tensor, ...]], torch.Tensor]) -> Rows:
    parts = [join(many) for many in zip(*(one.parts for one in rows), strict=True)]
    origins = frozenset().union(*(one.origins for one in rows))
    return type(rows[0])(parts, rows[0].columns, origins, turned=rows[0].turned)


def _cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Rows:
    rows = _alike(tensors)
    at = rows[0].row_dim(dim)
    return _joined(rows, lambda many: torch.cat(many, dim=at))


def _stack(tensors: Sequence[torch.Tensor], dim: int = 0) -> Rows:
    rows = _alike(tensors)
    at = dim % (rows[0].dim() + 1)
    if at > rows[0].dim() - 2:
        raise Looked("between the two dimensions of a matrix")
    return _joined(rows, lambda many: torch.stack(many, dim=at))


def _select(rows: Rows, dim: int, index: int) -> Rows:
    if dim % rows.dim() > rows.dim() - 3:
        raise Looked("one row")
    return rows.of([part.select(dim % rows.dim(), index) for part in rows.parts])


def _slice(rows: Rows, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Rows:
    at = rows.row_dim(dim)
    return rows.of([aten.slice(part, at, start, end, step) for part in rows.parts])


def _split(rows: Rows, sizes: Any, dim: int = 0) -> list[Rows]:
    at = rows.row_dim(dim)
    return [rows.of(parts) for parts in zip(*(part.split(sizes, at) for part in rows.parts), strict=True)]


def _unbind(rows: Rows, dim: int = 0) -> list[Rows]:
    return [_select(rows, dim, index) for index in range(rows.shape[dim])]


def _transpose(rows: Rows, one: int, other: int) -> Rows:
    dims = sorted((one % rows.dim(), other % rows.dim()))
    if dims == [rows.dim() - 2, rows.dim() - 1]:
        return rows.of(rows.parts, turned=not rows.turned)
    a, b = (rows.row_dim(dim) for dim in dims)
    return rows.of([part.transpose(a, b) for part in rows.parts])


def _view(rows: Rows, size: Sequence[int]) -> Rows:
    if rows.turned or len(size) < 2 or size[-1] not in (-1, rows.columns):
        raise Looked("rows of another length")
    shape = list(size[:-1])
    if -1 not in shape:
        count = 1
        for length in shape:
            count *= length
        if count * rows.columns != rows.numel():
            raise Looked("rows of another length")
    depth = rows.dim() - 1
    return rows.of([part.reshape(*shape, *part.shape[depth:]) for part in rows.parts])


_OPERATIONS: Final[dict[Any, Callable[..., Any]]] = {
    aten.alias.default: _same,
    aten.cat.default: _cat,
    aten.clone.default: _same,
    aten.detach.default: _same,
    aten.lift_fresh.default: _same,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.stack.default: _stack,
    aten.t.default: lambda rows: _transpose(rows, 0, 1),
    aten._to_copy.default: _same,
    aten.transpose.int: _transpose,
    aten.unbind.int: _unbind,
    aten._unsafe_view.default: _view,
    aten.view.default: _view,
}
