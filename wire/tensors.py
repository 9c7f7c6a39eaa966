"""What a message says about the tensor in its body: element type and shape. No tensor library, no tensor values.

A body is row-major, little-endian, without strides: `nbytes` is all there is to it. Spec: `specs/wire.md` §Types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from wire import limits
from wire.errors import BadMessage, InvalidValue


class DType(Enum):
    """An element type by its name on the wire."""

    FLOAT32 = "f32"
    BFLOAT16 = "bf16"
    FLOAT16 = "f16"

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return 4 if self is DType.FLOAT32 else 2


class WeightFormat(Enum):
    """How the weights of a slice's matrices are kept. With the dtype it says which numerics a host serves."""

    NATIVE = "native"
    """As in the checkpoint, in the dtype that is computed in."""
    INT8 = "int8"
    """8 bits, one scale for each row."""
    INT4_32 = "int4-32"
    """4 bits, a scale and a zero point for each 32 weights of a row."""
    INT4_64 = "int4-64"
    INT4_128 = "int4-128"


def numerics(dtype: DType, weights: WeightFormat) -> str:
    """Both in a word for people: `bf16`, or `bf16/int8`."""
    return dtype.value if weights is WeightFormat.NATIVE else f"{dtype.value}/{weights.value}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Element type and shape of one tensor; one that exists fits a message and has at least one element."""

    dtype: DType
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= limits.MAX_TENSOR_RANK:
            raise InvalidValue(
                f"a tensor of rank {len(self.shape)}; 1 to {limits.MAX_TENSOR_RANK} is allowed"
            )
        if min(self.shape) < 1 or max(self.shape) > limits.MAX_TENSOR_BYTES:
            raise InvalidValue(f"shape {list(self.shape)} has a dimension out of bounds")
        if self.nbytes > limits.MAX_TENSOR_BYTES:
            raise InvalidValue(f"a tensor of {self.nbytes} bytes does not fit a message")

    @property
    def nbytes(self) -> int:
        """The exact length of the body that holds this tensor."""
        return math.prod(self.shape) * self.dtype.size

    def check(self, body_length: int) -> None:
        """Raise `BadMessage` unless a body of `body_length` bytes is exactly this tensor."""
        if body_length != self.nbytes:
            raise BadMessage(
                f"{self.dtype.value}{list(self.shape)} is {self.nbytes} bytes, the body has {body_length}"
            )
