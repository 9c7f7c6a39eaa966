"""bfloat16 weights in the packed float16 layout of FBGEMM, which x86 builds of torch carry.

Its product sums in float32, and adds up a row's terms in the same order for any number of tokens: a token computed
alone, in a chunk, or beside other sessions' tokens has the same bits. Up to about eight tokens it takes the time of
one. Source: facebookresearch's FBGEMM, `FbgemmFP16.h`; torch reaches it by `quantized::linear_prepack_fp16`.

float16 holds every bfloat16 from 2**-17 to 65504 exactly; what is smaller is off by 2**-25 at most, far below what the
sum is rounded to. A matrix with a greater number is not packed.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import torch
from torch import nn

from node.slices.kernels import wide
from node.slices.kernels.linear import DenseLinear, KernelLinear

MOST: Final = 65_504.0
"""The greatest float16."""
PART_ELEMENTS: Final = 1 << 24
"""Weights packed at a time: packing wants them in float32."""
_ROWS: Final = 64


@cache
def available() -> bool:
    """Whether torch has these kernels here."""
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(torch.eye(16), None)
        out = torch.ops.quantized.linear_dynamic_fp16(torch.ones(2, 16), packed)
    except (RuntimeError, AttributeError):
        return False
    return bool((out == 1).all())


def dense(linear: nn.Linear) -> KernelLinear:
    """The module for weights that stay as they are: packed where that is possible and the processor gains by it."""
    fits = available() and not wide.has_bfloat16() and bool(linear.weight.abs().amax() <= MOST)
    return HalfLinear(linear) if fits else DenseLinear(linear)


class HalfLinear(KernelLinear):
    """Weights packed for FBGEMM. Packing goes on beside the caller; `settle` waits for it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        rows = max(_ROWS, PART_ELEMENTS // self.in_features // _ROWS * _ROWS)
        bias = None if self.bias is None else self.bias.float()
        self._waiting = [
            _packing(linear.weight[at : at + rows], None if bias is None else bias[at : at + rows])
            for at in range(0, self.out_features, rows)
        ]
        self.parts = 0
        self.bias = None  # is in what is packed

    def settle(self) -> None:
        """Wait until the weights are packed."""
        for packed in self._waiting:
            # Attributes, since a recorded layer finds such an object by its name.
            setattr(self, f"packed_{self.parts}", packed.result())
            self.parts += 1
        self._waiting = []

    @property
    def packed_bytes(self) -> int:
        """See `KernelLinear.packed_bytes`."""
        return 2 * self.in_features * self.out_features

    @property
    def weight(self) -> torch.Tensor:
        """The weights `[O, I]` in float32, made anew each time."""
        return torch.cat([torch.ops.quantized.linear_unpack_fp16(one)[0] for one in self._packed()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See `KernelLinear.forward`."""
        wide = x.float()
        if self.parts == 1:
            out: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(wide, self.packed_0)
        else:
            outs = [torch.ops.quantized.linear_dynamic_fp16(wide, one) for one in self._packed()]
            out = torch.cat(outs, dim=-1)
        return out.to(x.dtype)

    def _packed(self) -> list[Any]:
        return [getattr(self, f"packed_{index}") for index in range(self.parts)]


def settle(model: nn.Module) -> None:
    """Wait until all of a model's weights are packed."""
    for module in model.modules():
        if isinstance(module, HalfLinear):
            module.settle()


def _packing(rows: torch.Tensor, bias: torch.Tensor | None) -> Future[Any]:
    """Begin to pack some rows, once not too many others are being packed: each is held twice meanwhile."""
    _room().acquire()
    full = rows.float()
    begun = _pool().submit(torch.ops.quantized.linear_prepack_fp16, full, bias)
    begun.add_done_callback(lambda _: _room().release())
    return begun


@cache
def _pool() -> ThreadPoolExecutor:
    """Packing runs on one core and with no parallel operation of torch, so these threads get no pool of libgomp's."""
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="lamella-pack")


@cache
def _room() -> threading.Semaphore:
    return threading.Semaphore(torch.get_num_threads())
