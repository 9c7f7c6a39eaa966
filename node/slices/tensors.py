"""Tensors to the bytes that travel and back, without copies where the memory allows it. Compute thread only.

The body is row-major and little-endian, as every machine this runs on keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from node.slices.errors import BadInput, NotFinite
from wire.tensors import DType, TensorSpec

Tensor = torch.Tensor
"""For code that hands tensors on and computes nothing."""

_TO_TORCH: Final = {
    DType.FLOAT32: torch.float32,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT16: torch.float16,
}
_TO_WIRE: Final = {dtype: name for name, dtype in _TO_TORCH.items()}

_Bits = npt.NDArray[np.int16] | npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the bits of an IEEE 754 element type are looked at as integers."""

    torch_bits: torch.dtype
    signed: np.dtype[Any]
    unsigned: np.dtype[Any]
    infinity: int
    """The bits of plus infinity. NaNs lie above it; all the negative ones lie as far above minus infinity."""
    minus_infinity: int


def _layout(bits: int, infinity: int) -> _Layout:
    integers = {16: torch.int16, 32: torch.int32}
    return _Layout(
        integers[bits],
        np.dtype(f"i{bits // 8}"),
        np.dtype(f"u{bits // 8}"),
        infinity,
        infinity | 1 << bits - 1,
    )


_LAYOUTS: Final = {
    torch.float32: _layout(32, 0x7F80_0000),
    torch.bfloat16: _layout(16, 0x7F80),
    torch.float16: _layout(16, 0x7C00),
}
_largest: Final = np.maximum.reduce


def to_wire(tensor: torch.Tensor) -> tuple[TensorSpec, memoryview]:
    """The tensor's description and its bytes, which keep its memory alive; do not write to it afterwards.

    Raises:
        BadInput: its dtype does not travel.
        NotFinite: it holds NaN or infinity.
        wire.errors.InvalidValue: it is larger than a message.
    """
    if tensor.dtype not in _TO_WIRE:
        raise BadInput(f"a tensor of {tensor.dtype} does not travel")
    spec = TensorSpec(_TO_WIRE[tensor.dtype], tuple(tensor.shape))
    layout = _LAYOUTS[tensor.dtype]
    plain = tensor if tensor.is_contiguous() else tensor.contiguous()
    bits = plain.view(layout.torch_bits).numpy()
    _check_finite(bits, layout)
    return spec, bits.data.cast("B")


def from_wire(spec: TensorSpec, body: memoryview | bytearray | bytes) -> torch.Tensor:
    """The tensor that a body holds; shares a writable body's memory, which is then the tensor's to keep.

    Raises:
        wire.errors.BadMessage: the body's length is not what `spec` says.
        NotFinite: it holds NaN or infinity, which would spread through the whole session.
    """
    view = memoryview(body).cast("B")
    spec.check(len(view))
    dtype = _TO_TORCH[spec.dtype]
    layout = _LAYOUTS[dtype]
    if view.readonly:
        view = memoryview(bytearray(view))
    bits = np.frombuffer(view, layout.signed).reshape(spec.shape)
    _check_finite(bits, layout)
    return torch.from_numpy(bits).view(dtype)


def _check_finite(bits: _Bits, layout: _Layout) -> None:
    """Raise `NotFinite` if any element is NaN or infinite.

    Two passes over integers, each as fast as memory: a floating-point sum takes ten times as long.
    """
    if (
        _largest(bits, axis=None) >= layout.infinity
        or _largest(bits.view(layout.unsigned), axis=None) >= layout.minus_infinity
    ):
        raise NotFinite("a tensor holds NaN or infinity")


def from_ids(ids: Sequence[int]) -> torch.Tensor:
    """Token ids `[1, T]`, int64, as a slice with the embedding takes them."""
    return torch.tensor([tuple(ids)], dtype=torch.int64)


def to_numpy(logits: torch.Tensor) -> npt.NDArray[np.float32]:
    """Logits `[V]` as the sampler takes them; shares their memory."""
    array: npt.NDArray[np.float32] = logits.detach().float().numpy()
    return array
