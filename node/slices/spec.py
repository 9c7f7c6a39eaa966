"""What a slice is asked to be, as values; no torch here, so that a planner can speak of slices cheaply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from node.slices import beside
from node.slices.errors import InvalidSlice
from wire.tensors import WeightFormat
from wire.types import LayerRange

DTYPES: Final = ("float32", "bfloat16", "float16")
CPU: Final = "cpu"
_DEVICE: Final = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)


def is_device(name: str) -> bool:
    """Whether this names a device that a slice could be on: `cpu`, `cuda`, or `cuda:N`."""
    return _DEVICE.fullmatch(name) is not None


class Want(Enum):
    """What a forward answers with."""

    HIDDEN = "hidden"
    """Hidden states after the last layer of the range, `[1, T, D]`, for the next hop."""
    LOGITS = "logits"
    """Logits of the last new token, `[V]` float32; only where the head is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSpec:
    """Which part of which checkpoint to load."""

    checkpoint: Path
    """Folder with `config.json` and safetensors."""
    layers: LayerRange
    """May be empty when `embed` (at 0) or `head` (at L) is set: an end alone."""
    embed: bool = False
    """Load the token embedding too; the layers must then start at 0."""
    head: bool = False
    """Load the final norm and the head too; the layers must then end at L."""
    dtype: str = "bfloat16"
    """One of `DTYPES`; weights stored otherwise are cast."""
    weights: WeightFormat = WeightFormat.NATIVE
    """Formats of fewer bits are for `bfloat16` only."""
    device: str = CPU
    """Where it is held and computed: `cpu`, `cuda` for the first GPU, or `cuda:N`."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InvalidSlice(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if not is_device(self.device):
            raise InvalidSlice(f"device {self.device!r} is not one of cpu, cuda and cuda:N, as in cuda:0")
        if self.weights is not WeightFormat.NATIVE and self.dtype != "bfloat16":
            raise InvalidSlice(f"{self.weights.value} weights compute in bfloat16, not in {self.dtype}")
        if not len(self.layers) and not (self.embed or self.head):
            raise InvalidSlice(f"layers {self.layers} are empty, and neither embedding nor head is asked for")
        if self.embed and self.layers.start != 0:
            raise InvalidSlice(f"the embedding goes with layers from 0, not {self.layers}")

    def check(self, num_layers: int, joined: Sequence[LayerRange] = ()) -> None:
        """Raise `InvalidSlice` unless a model of `num_layers` layers, `joined` in stretches, has this slice."""
        if self.layers.end > num_layers:
            raise InvalidSlice(f"the model has no layers {self.layers}; choose among 0:{num_layers}")
        if self.head and self.layers.end != num_layers:
            raise InvalidSlice(f"the head goes with layers to {num_layers}, not {self.layers}")
        stretch = beside.parted(joined, self.layers)
        if stretch is not None:
            raise InvalidSlice(f"{beside.words(stretch)}, not at both ends of {self.layers}")
