"""The part of the model the client computes itself: embedding, first layers and, with private ends, norm and head.

Runs on the compute thread; token ids never leave this object but as hidden states. Spec: `specs/forward.md` §Roles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node.slices import sampling, tensors
from node.slices.cache import SliceCache
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from wire.messages.base import Body
from wire.messages.forward import Output
from wire.tensors import TensorSpec, WeightFormat
from wire.types import LayerRange, Sampling


@dataclass(slots=True)
class Front:
    """The client's stages of one conversation."""

    first: Slice
    last: Slice | None
    """The final norm and `lm_head`, with private ends."""
    cache: SliceCache
    last_cache: SliceCache | None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        front_layers: int,
        private_ends: bool,
        dtype: str,
        weights: WeightFormat = WeightFormat.NATIVE,
        progress: Callable[[float], None] | None = None,
    ) -> Front:
        """Load the client's slices; on the compute thread. Raises `SliceError`."""
        spec = first_spec(folder, front_layers=front_layers, dtype=dtype, weights=weights)
        first = load_slice(spec, progress=progress)
        last = load_slice(last_spec(spec, num_layers=first.num_layers)) if private_ends else None
        return cls(
            first, last, first.new_cache(spec.layers), last.new_cache(last.spec.layers) if last else None
        )

    def kv_bytes_per_layer(self, positions: int) -> int:
        """The least a layer's cache takes for so many positions, judged by the layers here; 0 without any."""
        layers = range(self.first.spec.layers.start, self.first.spec.layers.end)
        return min((self.first.kv_bytes(LayerRange(one, one + 1), positions) for one in layers), default=0)

    def forward(self, ids: tuple[int, ...], position: int) -> tuple[TensorSpec, Body]:
        """Embed `ids` and run the first layers; on the compute thread.

        Returns: Hidden states `[1, T, D]` as they travel.
        """
        hidden = self.first.forward(
            tensors.from_ids(ids), cache=self.cache, position=position, want=Want.HIDDEN
        )
        return tensors.to_wire(hidden)

    def finish(self, output: Output, draw: Sampling) -> int:
        """Draw the token that follows an output's position, with private ends; on the compute thread.

        Raises: `NotFinite` when the hosts sent NaN or infinity.
        """
        if self.last is None or self.last_cache is None:
            raise ValueError("this client does not hold the head")
        hidden = tensors.from_wire(output.tensor, output.body)
        # The head has no layers, so its cache holds nothing but a position.
        self.last_cache.truncate(0)
        logits = self.last.forward(hidden, cache=self.last_cache, position=0, want=Want.LOGITS)
        return sampling.draw(np.asarray(tensors.to_numpy(logits)), draw, output.position + 1)

    def truncate(self, position: int) -> None:
        """Forget all positions from `position` on; on the compute thread."""
        self.cache.truncate(position)


def first_spec(folder: Path, *, front_layers: int, dtype: str, weights: WeightFormat) -> SliceSpec:
    """The embedding and the layers after it that a client computes."""
    layers = LayerRange(0, front_layers)
    return SliceSpec(checkpoint=folder, layers=layers, embed=True, dtype=dtype, weights=weights)


def last_spec(first: SliceSpec, *, num_layers: int) -> SliceSpec:
    """The final norm and `lm_head`, of the same model in the same numerics."""
    return SliceSpec(
        checkpoint=first.checkpoint,
        layers=LayerRange(num_layers, num_layers),
        head=True,
        dtype=first.dtype,
        weights=first.weights,
    )
