"""Which slice a host should serve that joins a swarm of strangers: what fits it, and what the swarm lacks most.

What peers say is all there is, and each may say anything: a peer counts once for a layer whatever it claims, and its
speed counts within bounds. Peers that all lie together can still draw hosts to one end of a model; `docs/planning.md`
says what that costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.planning.cost import Costs, Load
from node.planning.coverage import Coverage, longest, neediest, units
from node.planning.shape import ModelShape
from wire.messages.hosting import Offer
from wire.tensors import DType, WeightFormat, numerics
from wire.types import LayerRange, ModelId

USUAL_LAYER_US: Final = 2_000
"""One layer's step on a host whose capacity counts as 1 (`chat.route` assumes it of one that is new)."""
LEAST_CAPACITY: Final = 0.25
MOST_CAPACITY: Final = 2.0
"""Security limit, with the one before: what a peer says of its speed weighs no less and no more than this."""
BUSY_PER_SESSION: Final = 0.125
"""What each open session takes of a host's capacity."""

Numerics = tuple[DType, WeightFormat]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One slice that a peer says it serves."""

    peer: PeerId
    offer: Offer
    draining: bool = False
    """Whether it is about to stop serving it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A host that looks for a slice of one model."""

    me: PeerId
    model: ModelId
    shape: ModelShape
    budget_bytes: int
    """Memory for its whole process, sessions included."""
    load: Load
    """What sessions it is to have memory for."""
    numerics: tuple[Numerics, ...]
    """What it can compute in, the most wanted first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A slice to serve."""

    layers: LayerRange
    head: bool
    dtype: DType
    weights: WeightFormat
    memory_bytes: int
    """What the process will take."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """Nothing of the model can be served here."""

    reason: str


def choose_slice(joining: Joining, heard: Iterable[Heard]) -> Choice | Unfit:
    """The slice that helps the swarm most; what `joining.me` itself is heard to serve does not count."""
    others = [one for one in heard if one.peer != joining.me]
    kept = _numerics(joining, others)
    if kept is None:
        return Unfit(reason="this host computes in no numerics that the model's weights can have")
    dtype, weights = kept
    costs = Costs(joining.shape, weights, joining.load)
    before = coverage(joining, others, kept)
    layers = neediest(
        before,
        longest(costs, joining.budget_bytes),
        tie=lambda one: drawn(b"slice", joining.me, str(one).encode()),
    )
    if layers is None:
        return Unfit(
            reason=f"{joining.budget_bytes:,} bytes hold no layer in {weights.value} weights beside the process"
        )
    head = layers.end == joining.shape.num_layers
    return Choice(
        layers=layers,
        head=head,
        dtype=dtype,
        weights=weights,
        memory_bytes=costs.host_bytes(layers, head=head),
        reason=f"{_lack(before, layers)}, in {numerics(dtype, weights)}",
    )


def serving(joining: Joining, heard: Iterable[Heard], kept: Numerics) -> dict[PeerId, list[Offer]]:
    """The offers that count, by peer: of this model, believable, in these numerics, and not about to end."""
    found: dict[PeerId, list[Offer]] = {}
    for one in heard:
        offer = one.offer
        is_whole = offer.model == joining.model and offer.num_layers == joining.shape.num_layers
        within = offer.layers.end <= offer.num_layers
        if is_whole and within and not one.draining and (offer.dtype, offer.weights) == kept:
            found.setdefault(one.peer, []).append(offer)
    return found


def coverage(joining: Joining, heard: Iterable[Heard], kept: Numerics) -> Coverage:
    """How many peers serve each layer and the head, and with what capacity."""
    count = joining.shape.num_layers
    hosts, capacities = [0] * (count + 1), [0.0] * (count + 1)
    for offers in serving(joining, heard, kept).values():
        for unit in range(count + 1):
            holding = [capacity(one) for one in offers if _holds(one, unit)]
            if holding:
                hosts[unit] += 1
                capacities[unit] += max(holding)
    return Coverage(hosts=tuple(hosts), capacity=tuple(capacities))


def capacity(offer: Offer) -> float:
    """What a peer can do for a layer of its slice, as it says, within bounds."""
    units_held = max(1, len(offer.layers) + offer.head)
    layer_us = offer.step_us / units_held if offer.step_us else USUAL_LAYER_US
    said = USUAL_LAYER_US / layer_us / (1 + BUSY_PER_SESSION * offer.sessions)
    return max(LEAST_CAPACITY, min(MOST_CAPACITY, said))


def drawn(purpose: bytes, peer: PeerId, about: bytes) -> bytes:
    """A draw that anyone can repeat: it differs from peer to peer, and from what it is about to what else."""
    return hashlib.sha256(b"lamella/" + purpose + b"\0" + peer.raw + about).digest()


def _holds(offer: Offer, unit: int) -> bool:
    if unit == offer.num_layers:
        return offer.head and offer.layers.end == offer.num_layers
    return unit in offer.layers


def _numerics(joining: Joining, others: Sequence[Heard]) -> Numerics | None:
    """What most peers compute in, of what this host can; what it wants most where that is as good."""
    able = [one for one in joining.numerics if one[1] in joining.shape.formats]
    rank = {one: -len(serving(joining, others, one)) for one in able}
    return min(able, key=lambda one: (rank[one], able.index(one)), default=None)


def _lack(before: Coverage, layers: LayerRange) -> str:
    """What the swarm lacks of `layers`, in words."""
    held = [before.hosts[unit] for unit in units(layers, len(before.hosts) - 1)]
    if not any(before.hosts):
        return "nobody serves this model yet"
    bare = held.count(0)
    if bare:
        words = "the head" if bare == 1 and not before.hosts[-1] and held[-1] == 0 else f"{bare} layers"
        return f"nobody serves {words} of {layers}"
    fewest = min(held)
    return f"all layers are served; of {layers} some by {fewest} host{'s' * (fewest != 1)} only"
