"""Weights that hold nothing but where they came from: to see, without reading a number, what becomes of a tensor.

A model is loaded and packed with these in place of its tensors; what reaches a packed module as whole rows can be
quantised in the file already, and what does not is left as it is.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch.utils import _pytree

from node.slices.kernels.coded import Looked, Origin, Rows


class Traced(Rows):
    """Rows of tensors in a checkpoint, moved about as wholes."""

    def whole(self) -> torch.Tensor:
        """A tensor of this shape and dtype on the meta device."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    @classmethod
    def looked(cls, func: Any, args: Any, kwargs: Any, _error: Looked) -> Any:
        """The operation is done on shapes, and its result is known to come from all that went into it."""
        flat = _pytree.tree_leaves((args, kwargs))
        origins = frozenset[Origin]().union(*(one.origins for one in flat if isinstance(one, Traced)))
        plain, named = _pytree.tree_map_only(torch.Tensor, _shape_of, (args, kwargs))
        result = func(*plain, **{**named, **({"device": "meta"} if "device" in named else {})})
        return _pytree.tree_map_only(torch.Tensor, lambda one: _mixed(one, origins), result)


class Mixed(Traced):
    """What an operation made of rows that are no longer rows as they stand in the files."""

    @staticmethod
    def __new__(cls, like: torch.Tensor, origins: frozenset[Origin]) -> Self:
        """Of the shape and dtype of `like`."""
        made: Self = torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype)
        made.parts, made.columns, made.turned, made.origins = (), like.shape[-1], False, origins
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # a class method, whatever torch's stubs say
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return cls.looked(func, args, kwargs or {}, Looked(str(func)))


def trace(shape: tuple[int, ...], origin: Origin) -> Traced:
    """A tensor of a checkpoint, of at least two dimensions."""
    return Traced([torch.empty(*shape[:-1], 1, device="meta")], shape[-1], frozenset((origin,)))


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.whole() if isinstance(tensor, Traced) else tensor.to("meta")


def _mixed(result: torch.Tensor, origins: frozenset[Origin]) -> torch.Tensor:
    """What has no rows is small, and is made of zeros."""
    return Mixed(result, origins) if result.dim() > 1 else torch.zeros(result.shape, dtype=result.dtype)
