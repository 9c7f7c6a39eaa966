"""What peers say they serve, for hosts that choose."""

from __future__ import annotations

import hashlib

from crypto.identity import PeerId
from node.planning.cost import Load
from node.planning.gap import Choice, Heard, Joining, Numerics
from node.planning.shape import ModelShape
from wire.messages.hosting import Offer
from wire.tensors import DType, WeightFormat
from wire.types import LayerRange, ModelId

MODEL = ModelId(bytes(32))
NATIVE: Numerics = (DType.BFLOAT16, WeightFormat.NATIVE)
INT8: Numerics = (DType.BFLOAT16, WeightFormat.INT8)


def peer(name: str | int) -> PeerId:
    """A peer id that belongs to nobody."""
    return PeerId(hashlib.sha256(str(name).encode()).digest())


def offer(
    start: int,
    end: int,
    num_layers: int,
    *,
    numerics: Numerics = NATIVE,
    head: bool | None = None,
    step_us: int = 0,
    sessions: int = 0,
) -> Offer:
    """An offer of layers, with the head if they are the last."""
    return Offer(
        model=MODEL,
        name="x",
        layers=LayerRange(start, end),
        head=end == num_layers if head is None else head,
        num_layers=num_layers,
        dtype=numerics[0],
        weights=numerics[1],
        max_positions=4_096,
        free_kv_bytes=1 << 30,
        sessions=sessions,
        step_us=step_us,
    )


def heard(name: str | int, given: Offer, *, draining: bool = False) -> Heard:
    """An offer of the peer of this name."""
    return Heard(peer=peer(name), offer=given, draining=draining)


def of_choice(name: str | int, choice: Choice, num_layers: int) -> Heard:
    """What the others hear of a host that serves its choice."""
    kept = (choice.dtype, choice.weights)
    return heard(name, offer(choice.layers.start, choice.layers.end, num_layers, numerics=kept))


def joining(
    name: str | int, shape: ModelShape, budget_bytes: int, *numerics: Numerics, context: int = 0
) -> Joining:
    """A host of this name that looks for a slice."""
    return Joining(
        me=peer(name),
        model=MODEL,
        shape=shape,
        budget_bytes=budget_bytes,
        load=Load(context=context),
        numerics=numerics or (NATIVE,),
    )
