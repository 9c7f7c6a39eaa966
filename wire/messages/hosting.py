"""What a peer says it serves. Spec: `specs/forward.md` §Hosting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from wire import limits
from wire.fields import DTYPE, LAYERS, MODEL_ID, WEIGHTS, Bool, Maybe, Nested, Several, Text, UInt
from wire.messages.base import Message, register
from wire.tensors import DType, WeightFormat
from wire.types import LayerRange, ModelId

_BYTES = UInt((1 << 63) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One slice a host serves."""

    model: ModelId
    name: str
    """The model's name as the host calls it; for people, never for decisions."""
    layers: LayerRange
    head: bool
    """Whether the host holds the final norm and `lm_head`, and so can be the tail."""
    num_layers: int
    """Layers of the whole model."""
    dtype: DType
    """The numerics the slice computes in and expects hidden states in."""
    weights: WeightFormat = WeightFormat.NATIVE
    """How the slice keeps its weights, the other half of its numerics."""
    tokens_until: int = 0
    """The model's layers before this one need their tokens' ids beside the hidden states; 0 where none does."""
    max_positions: int
    free_kv_bytes: int
    sessions: int
    """Open sessions, a rough measure of load."""
    step_us: int
    """Median time of one decode step over the whole slice, in microseconds; 0 when not yet measured."""


OFFER = Nested(
    Offer,
    {
        "model": MODEL_ID,
        "name": Text(limits.MAX_AGENT_CHARS),
        "layers": LAYERS,
        "head": Bool(),
        "num_layers": UInt(limits.MAX_LAYERS),
        "dtype": DTYPE,
        "weights": WEIGHTS,
        "tokens_until": UInt(limits.MAX_LAYERS),
        "max_positions": UInt(limits.MAX_POSITIONS),
        "free_kv_bytes": _BYTES,
        "sessions": UInt(65_535),
        "step_us": UInt(limits.MAX_STEP),
    },
)


@register(16, "describe", sender="client")
@dataclass(frozen=True, slots=True, kw_only=True)
class Describe(Message):
    """Asks what the peer serves; answered by `hosting`."""


@register(17, "hosting", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting(Message):
    """The slices the sender serves now."""

    offers: Annotated[tuple[Offer, ...], Several(OFFER, limits.MAX_SLICES_PER_PEER)]
    draining: Annotated[bool, Bool()]
    """Whether the host refuses new sessions because it is about to stop."""
    shares: Annotated[int | None, Maybe(UInt(65_535))] = None
    """The port, at the address of this link, where the sender gives chunks of weights; none when it gives none."""
