"""What a slice takes of a machine: bytes of memory, and seconds of one token's step. An estimate, and its constants.

A step of one token is bound by reading weights: a stage takes its bytes over what the machine reads a second, and a
little a layer. `docs/planning.md` compares that with what was measured: within a tenth for large dense layers, up to
twice too fast for small layers in few bits and for experts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from node.planning.machines import GB, Machine
from node.planning.shape import LayerShape, ModelShape
from wire.tensors import WeightFormat
from wire.types import LayerRange

HOP_S: Final = 0.001
"""One more hop beside its link and its layers: encryption, the compute thread, the event loop (README, 0.92 ms)."""
LAYER_S: Final = 0.000_3
"""What one layer takes beside reading its weights."""
PROCESS_BYTES: Final = 400_000_000
"""What a process takes beside its weights and sessions (README, 371 MB at its peak)."""
READ_PART: Final = {
    WeightFormat.NATIVE: 1.0,
    WeightFormat.INT8: 0.62,
    WeightFormat.INT4_32: 0.60,
    WeightFormat.INT4_64: 0.60,
    WeightFormat.INT4_128: 0.60,
}
"""Of the rate at which native weights are read, the part at which each format's are: widening them is work too."""
DEFAULT_CONTEXT: Final = 4_096
DEFAULT_SESSIONS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the machines are to carry."""

    sessions: int = DEFAULT_SESSIONS
    """Sessions at once that every machine has memory for; the estimate is of one alone."""
    context: int = DEFAULT_CONTEXT
    """Positions of each."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The sums behind every slice of one model in one format."""

    shape: ModelShape
    weights: WeightFormat
    load: Load
    held: tuple[int, ...] = field(init=False)
    """Bytes of all layers before each boundary, with their sessions."""
    read_s: tuple[float, ...] = field(init=False)
    """Seconds that a token's step through all layers before each boundary reads, at 1 GB/s."""

    def __post_init__(self) -> None:
        layers = self.shape.layers
        object.__setattr__(self, "held", tuple(accumulate(map(self._bytes, layers), initial=0)))
        object.__setattr__(self, "read_s", tuple(accumulate(map(self._gb_s, layers), initial=0.0)))

    def host_bytes(self, layers: LayerRange, *, head: bool) -> int:
        """Memory of a host's process that serves `layers`."""
        ends = self.shape.head[self.weights] if head else 0
        return PROCESS_BYTES + self.shape.slice_bytes + self.held[layers.end] - self.held[layers.start] + ends

    def client_bytes(self, front: int, *, head: bool) -> int:
        """Memory of a client's process that computes the first `front` layers."""
        return self.host_bytes(LayerRange(0, front), head=head) + self.shape.embed_bytes

    def stage_s(self, machine: Machine, layers: LayerRange, *, head: bool) -> float:
        """Seconds of one token's step through `layers`, with the context half full."""
        seconds = self.read_s[layers.end] - self.read_s[layers.start] + (self.head_s if head else 0.0)
        return seconds / machine.bandwidth + LAYER_S * len(layers)

    @property
    def head_s(self) -> float:
        """Seconds to read the head at 1 GB/s; it is never kept in fewer than 8 bits."""
        kept = self.weights if self.weights is WeightFormat.NATIVE else WeightFormat.INT8
        return self.shape.head[self.weights] / GB / READ_PART[kept]

    def _bytes(self, layer: LayerShape) -> int:
        return layer.weights[self.weights] + self.load.sessions * layer.kv_bytes(self.load.context)

    def _gb_s(self, layer: LayerShape) -> float:
        """Seconds to read a layer at 1 GB/s."""
        cache = layer.kv_bytes(self.load.context // 2)
        return (layer.reads[self.weights] / READ_PART[self.weights] + cache) / GB
