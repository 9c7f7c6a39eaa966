"""Tensors to the bytes that travel and back, without copies where the memory allows it. Compute thread only.

The body is row-major and little-endian, as every machine this runs on keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from node.slices.errors import BadInput, NotFinite
from wire.tensors import DType, TensorSpec

_TO_TORCH: Final = {
    DType.FLOAT32: torch.float32,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT16: torch.float16,
}
_TO_WIRE: Final = {dtype: name for name, dtype in _TO_TORCH.items()}


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
    check_finite(tensor)
    flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
    return spec, flat.numpy().data


def from_wire(spec: TensorSpec, body: memoryview | bytearray | bytes) -> torch.Tensor:
    """The tensor that a body holds; shares a writable body's memory, which is then the tensor's to keep.

    Raises:
        wire.errors.BadMessage: the body's length is not what `spec` says.
        NotFinite: it holds NaN or infinity, which would spread through the whole session.
    """
    view = memoryview(body).cast("B")
    spec.check(len(view))
    if view.readonly:
        view = memoryview(bytearray(view))
    tensor = torch.frombuffer(view, dtype=_TO_TORCH[spec.dtype]).view(spec.shape)
    check_finite(tensor)
    return tensor


def check_finite(tensor: torch.Tensor) -> None:
    """Raise `NotFinite` if any element is NaN or infinite: one fast sum, and a slow look only if that is not finite."""
    if not math.isfinite(float(tensor.sum(dtype=torch.float32))) and not bool(torch.isfinite(tensor).all()):
        raise NotFinite("a tensor holds NaN or infinity")


def from_ids(ids: Sequence[int]) -> torch.Tensor:
    """Token ids `[1, T]`, int64, as a slice with the embedding takes them."""
    return torch.tensor([tuple(ids)], dtype=torch.int64)


def to_numpy(logits: torch.Tensor) -> npt.NDArray[np.float32]:
    """Logits `[V]` as the sampler takes them; shares their memory."""
    array: npt.NDArray[np.float32] = logits.detach().float().numpy()
    return array
