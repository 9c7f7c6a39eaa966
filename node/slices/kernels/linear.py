"""Modules that stand where a model has `nn.Linear`, and take activations of any float dtype.

At one token a product reads every weight once and is bound by memory: fewer bits are faster, and a matrix-vector kernel
beats a matrix product. At many tokens it is bound by arithmetic, and the weights are best widened once for all of them.
Which kernel runs depends on the number of tokens and on the processor, and on nothing else, so a model cut anywhere
computes what it computes whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from node.slices.kernels import columns, quantise, tiles, wide

FEW_TOKENS: Final = (
    {"native": 1, "int8": 4, "int4": 4} if wide.has_bfloat16() else {"native": 12, "int8": 16, "int4": 64}
)
"""Up to so many tokens the kernels that read weights as they are stored win over widening them, by measurement."""


def is_recording() -> bool:
    """Whether torch's tracer is looking."""
    return torch._C._get_tracing_state() is not None


class KernelLinear(nn.Module, ABC):
    """A linear map over weights in some format."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.bias: nn.Parameter | None = linear.bias

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., I]` to `[..., O]`, in the dtype of `x`."""

    @property
    @abstractmethod
    def weight(self) -> torch.Tensor:
        """The weights `[O, I]`, perhaps made anew each time; for code that looks at a linear module's weights."""

    @property
    def packed_bytes(self) -> int:
        """Bytes of weights that are neither parameters nor buffers."""
        return 0


class CountedLinear(KernelLinear):
    """Picks its kernel by the number of tokens."""

    few_tokens: int
    rows_multiple = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See `KernelLinear.forward`."""
        flat = x.reshape(-1, self.in_features)
        # What is recorded is only played for few.
        few = is_recording() or flat.shape[0] <= self.few_tokens
        out = self.few(flat.bfloat16()) if few else self.many(flat)
        out = out.to(x.dtype)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], self.out_features)

    @abstractmethod
    def few(self, x: torch.Tensor) -> torch.Tensor:
        """`[T, I]` bfloat16 to `[T, O]` for few tokens, without the bias."""

    def many(self, x: torch.Tensor) -> torch.Tensor:
        """`[T, I]` of any float dtype to `[T, O]` for many tokens, without the bias."""
        return wide.product(x, self)

    @abstractmethod
    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        """Write rows from `start` to `end` to `into`, `[end - start, I]`, in its dtype."""

    @property
    def weight(self) -> torch.Tensor:
        """The weights `[O, I]` in bfloat16, made anew each time."""
        whole = torch.empty(self.out_features, self.in_features, dtype=torch.bfloat16)
        self.widen(0, self.out_features, whole)
        return whole


class DenseLinear(CountedLinear):
    """bfloat16 weights as they are."""

    few_tokens = FEW_TOKENS["native"]

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.stored = linear.weight

    @property
    def weight(self) -> torch.Tensor:
        """The weights `[O, I]`."""
        return self.stored

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """See `CountedLinear.few`."""
        # Where one token alone is few a recording is of one token; elsewhere it must not hold the kernel for one.
        if self.few_tokens == 1 or (not is_recording() and x.shape[0] == 1):
            return torch.mv(self.stored, x[0]).unsqueeze(0)
        return functional.linear(x, self.stored)

    def many(self, x: torch.Tensor) -> torch.Tensor:
        """See `CountedLinear.many`."""
        if wide.WIDTH is self.stored.dtype:
            return functional.linear(x.to(self.stored.dtype), self.stored)
        return super().many(x)

    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        """See `CountedLinear.widen`."""
        into.copy_(self.stored[start:end])


class Int8Linear(CountedLinear):
    """8-bit weights and a scale for each row."""

    few_tokens = FEW_TOKENS["int8"]
    codes: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        packed = [quantise.to_int8(rows) for rows in _in_parts(linear.weight)]
        self.register_buffer("codes", torch.cat([one.codes for one in packed]))
        self.register_buffer("scale", torch.cat([one.scale for one in packed]))

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """See `CountedLinear.few`."""
        return torch._weight_int8pack_mm(x, self.codes, self.scale)

    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        """See `CountedLinear.widen`."""
        torch.mul(self.codes[start:end], self.scale[start:end].to(into.dtype).unsqueeze(1), out=into)


class Int4Linear(CountedLinear):
    """4-bit weights, two to a byte, arranged as torch's kernel reads them on this machine."""

    few_tokens = FEW_TOKENS["int4"]
    rows_multiple = tiles.MOST_ROWS
    tiles: torch.Tensor
    scale_and_zero: torch.Tensor

    def __init__(self, linear: nn.Linear, group: int) -> None:
        super().__init__(linear)
        self.group = group
        stored = []
        scales = []
        for rows in _in_parts(linear.weight):
            packed = quantise.to_int4(rows, group)
            stored.append(tiles.pack(packed.codes))
            scales.append(torch.stack((packed.scale, packed.zero), dim=2))
        self.register_buffer("tiles", torch.cat(stored))
        self.register_buffer("scale_and_zero", torch.cat(scales).transpose(0, 1).contiguous())

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """See `CountedLinear.few`."""
        out: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x, self.tiles, self.group, self.scale_and_zero
        )
        return out

    def many(self, x: torch.Tensor) -> torch.Tensor:
        """See `CountedLinear.many`."""
        return columns.product(x, self)

    def widen(self, start: int, end: int, into: torch.Tensor) -> None:
        """See `CountedLinear.widen`."""
        scale, zero = self.scale_and_zero[:, start:end].to(into.dtype).permute(2, 1, 0).unsqueeze(3)
        into.copy_(tiles.unpack(self.tiles[start:end]))
        into.view(end - start, -1, self.group).sub_(quantise.INT4_MIDDLE).mul_(scale).add_(zero)


def _in_parts(weight: torch.Tensor) -> Sequence[torch.Tensor]:
    """Rows of `[O, I]` a few at a time, so that quantising a large matrix takes little memory beside it."""
    parts: Sequence[torch.Tensor] = torch.split(weight, 16 * tiles.MOST_ROWS)
    return parts
