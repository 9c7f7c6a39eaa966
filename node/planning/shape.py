"""What a model costs a machine, layer by layer, as plain numbers. `slices.shape_of` reads them off a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wire.tensors import WeightFormat
from wire.types import LayerRange

GROWTH_POSITIONS: Final = 128
"""Memory for positions comes in blocks of so many (`slices.cache`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One layer."""

    weights: Mapping[WeightFormat, int]
    """Bytes in memory in each format."""
    reads: Mapping[WeightFormat, int]
    """Bytes of those that one token's step reads: all, but for a sparse layer's experts."""
    position_bytes: int
    """What one position of one session keeps here."""
    state_bytes: int = 0
    """What a session keeps here whatever its length."""
    most_positions: int | None = None
    """How many positions are kept at most, where there is a sliding window."""

    def kv_bytes(self, positions: int) -> int:
        """The most bytes one session of `positions` keeps here."""
        if not positions:
            return 0
        rows = -(-positions // GROWTH_POSITIONS) * GROWTH_POSITIONS
        rows = rows if self.most_positions is None else min(rows, self.most_positions)
        return self.state_bytes + self.position_bytes * rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A whole model."""

    layers: tuple[LayerShape, ...]
    formats: tuple[WeightFormat, ...]
    """What its weights can be kept in, the one of most bits first."""
    dtype: str
    """What native weights are computed in; the formats of fewer bits compute in bfloat16."""
    embed_bytes: int
    """The embedding and what runs before the first layer; no format makes it smaller."""
    head: Mapping[WeightFormat, int]
    """Bytes of the final norm and the head, in each format."""
    tied: bool
    """Whether the head's weights are the embedding's; a head alone takes its bytes all the same."""
    slice_bytes: int = 0
    """What every slice holds beside its layers."""
    hidden_bytes: int
    """One token's hidden states as they travel."""
    joined: tuple[LayerRange, ...] = ()
    """Stretches of layers that no cut may part."""
    max_positions: int

    @property
    def num_layers(self) -> int:
        """Layers of the whole model."""
        return len(self.layers)

    def weight_bytes(self, layers: LayerRange, weights: WeightFormat, *, head: bool = False) -> int:
        """Bytes of a host's slice, without what its process takes and without sessions."""
        held = sum(one.weights[weights] for one in self.layers[layers.start : layers.end])
        return self.slice_bytes + held + (self.head[weights] if head else 0)

    def kv_bytes(self, layers: LayerRange, positions: int) -> int:
        """The most bytes one session of `positions` keeps in `layers`."""
        return sum(one.kv_bytes(positions) for one in self.layers[layers.start : layers.end])

    def may_cut(self, boundary: int) -> bool:
        """Whether a slice may begin or end before layer `boundary`."""
        return not any(stretch.parted_at(boundary) for stretch in self.joined)

    def cuts(self) -> Sequence[int]:
        """Every boundary at which a slice may begin or end, in order, from 0 to the number of layers."""
        return [at for at in range(self.num_layers + 1) if self.may_cut(at)]
