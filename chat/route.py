"""Which hosts carry a conversation, and over which layers: a pure function of what the hosts offer.

The cost of a route is one decode step once round the ring. Links between hosts are not measured, so a hop costs its
whole round trip from here, half to come to it and half to leave: the bound that the triangle inequality gives. To that
is added the stage, the offer's own figure scaled to the layers used and to the host's load. The cheapest route wins,
then the one of fewer hops, then the one of less busy hosts.

A peer carries at most one hop: a host has no link to itself, and a route that comes back to a host pays for its link
twice. Rejected: cutting the model evenly over all that offer it; every further hop costs a link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chat.errors import NoRoute
from chat.route_search import Leg, Span, cheapest
from crypto.identity import PeerId
from wire.messages.hosting import Offer
from wire.tensors import DType, WeightFormat, numerics
from wire.types import Address, LayerRange, ModelId, Relayed

DEFAULT_LAYER_US: Final = 2_000
"""One layer's decode step on a host that has not measured yet, in microseconds."""
BUSY_PER_SESSION: Final = 0.125
"""What each session already open adds to a stage: batching makes company cheap, but not free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One slice that could carry a hop; a peer with several slices is several candidates."""

    peer: PeerId
    address: Address
    offer: Offer
    ways: tuple[Address | Relayed, ...] = ()
    """How other hosts may reach it."""
    link_s: float
    """Round trip from here to the peer."""
    draining: bool = False
    """Whether the peer refuses new sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One host's part of a route."""

    peer: PeerId
    address: Address
    ways: tuple[Address | Relayed, ...] = ()
    """How the hop before may reach it."""
    layers: LayerRange
    dtype: DType
    weights: WeightFormat = WeightFormat.NATIVE
    tail: bool
    """Whether the hop holds the head, draws the tokens and answers the client."""
    sees_tokens: bool = False
    """Whether the hop is sent the tokens themselves, since its layers need them."""
    link_s: float
    stage_s: float
    """Expected time of one decode step over `layers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Hops that together carry every layer the client does not."""

    model: ModelId
    front: LayerRange
    """Layers the client computes itself, after the embedding; may be empty."""
    hops: tuple[Hop, ...]
    """In layer order; empty only when the client computes everything."""
    private_ends: bool
    """Whether the client also computes the final norm and `lm_head`."""

    @property
    def sees_tokens(self) -> bool:
        """Whether any hop is sent the tokens themselves."""
        return any(hop.sees_tokens for hop in self.hops)

    @property
    def step_s(self) -> float:
        """Expected time of one decode step over all hops, without the client's own share."""
        return sum(hop.link_s + hop.stage_s for hop in self.hops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a route must provide."""

    model: ModelId
    layers: LayerRange
    """From the first layer the client does not compute to the end of the model."""
    private_ends: bool = False
    """Whether the client holds the head, so that no hop needs it."""
    dtype: DType | None = None
    """The only element type allowed; any when None."""
    weights: WeightFormat | None = None
    """The only format of weights allowed; any when None."""
    tokens_until: int = 0
    """The layers before this one need the tokens themselves."""
    joined: tuple[LayerRange, ...] = ()
    """Stretches of layers that must be on one hop."""
    mixed_numerics: bool = False
    """Whether hops may compute in different numerics."""
    positions: int
    """KV positions to reserve at each hop."""
    kv_bytes_per_layer: int = 0
    """KV memory of one layer at `positions`; 0 when unknown, and memory is then left to the hosts."""


def plan(candidates: Iterable[Candidate], need: Need) -> Route:
    """Return the cheapest route for `need`; the order of `candidates` does not matter.

    Raises:
        NoRoute: No route exists. The sentence says why, and `missing` which layers nobody usable holds.
    """
    if need.private_ends and not len(need.layers):
        return _route((), need)
    everyone = sorted(candidates, key=_order)
    serving = [each for each in everyone if _is_sane(each.offer, need)]
    usable = [each for each in serving if all(rule.keeps(each, need) for rule in _RULES)]
    ways = [way for group in _groups(usable, need) if (way := _cheapest(group, need)) is not None]
    if not ways:
        raise _explain(everyone, serving, need)
    return min(
        (_route(way, need) for way in ways), key=lambda route: (round(route.step_s * 1e9), len(route.hops))
    )


def _route(hops: Sequence[Hop], need: Need) -> Route:
    front = LayerRange(0, need.layers.start)
    return Route(model=need.model, front=front, hops=tuple(hops), private_ends=need.private_ends)


def _order(candidate: Candidate) -> tuple[object, ...]:
    offer = candidate.offer
    served = numerics(offer.dtype, offer.weights)
    return (candidate.peer.raw, offer.layers, offer.head, served, candidate.address, offer.step_us)


def _is_sane(offer: Offer, need: Need) -> bool:
    """Whether an offer is of this model and agrees with what the model is; a host may claim anything."""
    return (
        offer.model == need.model
        and offer.tokens_until == need.tokens_until
        and offer.num_layers == need.layers.end
        and offer.layers.end <= offer.num_layers
    )


def _groups(candidates: Sequence[Candidate], need: Need) -> list[list[Candidate]]:
    """Split candidates into those that may share a route."""
    if need.mixed_numerics:
        return [list(candidates)]
    return [
        [each for each in candidates if (each.offer.dtype, each.offer.weights) == (dtype, weights)]
        for dtype in DType
        for weights in WeightFormat
    ]


def _cheapest(candidates: Sequence[Candidate], need: Need) -> list[Hop] | None:
    """Return the cheapest hops over `candidates`, or None."""
    spans = [_span(each, need) for each in candidates]
    legs = cheapest(spans, need.layers, head=not need.private_ends, joined=need.joined)
    if legs is None:
        return None
    return [_hop(candidates[leg.span], spans[leg.span], leg, need.tokens_until) for leg in legs]


def _span(candidate: Candidate, need: Need) -> Span:
    offer = candidate.offer
    units = max(1, len(offer.layers) + offer.head)
    step_ns = offer.step_us * 1_000 if offer.step_us else DEFAULT_LAYER_US * 1_000 * units
    return Span(
        layers=_roomy_layers(offer, need),
        head=offer.head,
        enter_ns=round(candidate.link_s * 1e9),
        layer_ns=round(step_ns * (1 + BUSY_PER_SESSION * offer.sessions) / units),
        sessions=offer.sessions,
    )


def _most_layers(offer: Offer, need: Need) -> int:
    """Return how many layers of one session the host has memory for."""
    if need.kv_bytes_per_layer == 0:
        return len(offer.layers)
    return min(len(offer.layers), offer.free_kv_bytes // need.kv_bytes_per_layer)


def _roomy_layers(offer: Offer, need: Need) -> LayerRange:
    """Return the layers of an offer that its memory has room for: the last ones before a head, else the first ones."""
    most = _most_layers(offer, need)
    if offer.head:
        return LayerRange(offer.layers.end - most, offer.layers.end)
    start = min(max(offer.layers.start, need.layers.start), offer.layers.end)
    return LayerRange(start, min(offer.layers.end, start + most))


def _hop(candidate: Candidate, span: Span, leg: Leg, tokens_until: int) -> Hop:
    return Hop(
        peer=candidate.peer,
        address=candidate.address,
        ways=candidate.ways,
        layers=leg.layers,
        dtype=candidate.offer.dtype,
        weights=candidate.offer.weights,
        tail=leg.head,
        sees_tokens=leg.layers.start < tokens_until,
        link_s=candidate.link_s,
        stage_s=span.layer_ns * (len(leg.layers) + leg.head) / 1e9,
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """What makes an offer unusable for a session, and what to say when nothing else is left."""

    keeps: Callable[[Candidate, Need], bool]
    otherwise: str
    """What hosts that break the rule do."""
    advice: str


_MEMORY: Final = _Rule(
    lambda each, need: _most_layers(each.offer, need) > 0 or not len(each.offer.layers),
    "have too little KV memory left",
    "Ask for less with --context, or try again later.",
)
_RULES: Final = (
    _Rule(lambda each, _: not each.draining, "are about to stop", "Ask more hosts with --peer."),
    _Rule(
        lambda each, need: (
            need.dtype in (None, each.offer.dtype) and need.weights in (None, each.offer.weights)
        ),
        "compute in other numerics",
        "Leave out --dtype and --weights, or ask more hosts with --peer.",
    ),
    _Rule(
        lambda each, need: each.offer.max_positions >= need.positions,
        "cannot hold a context this long",
        "Ask for less with --context.",
    ),
    _MEMORY,
)


def _explain(everyone: Sequence[Candidate], serving: Sequence[Candidate], need: Need) -> NoRoute:
    """Return the error that names the first thing in the way, applying one rule after the other."""
    if not serving:
        names = sorted({_printable(each.offer.name) for each in everyone})
        instead = f"; they serve {_and(names)}" if names else ""
        return NoRoute(f"No host that answered serves this model{instead}.", missing=(need.layers,))
    # Memory also limits the length of a hop, so it is looked at last: what is left when nothing else is in the way.
    remaining, roomy = list(serving), replace(need, kv_bytes_per_layer=0)
    if _cheapest(remaining, roomy) is None:
        missing = _missing(remaining, need.layers)
        if not missing and _cheapest(remaining, replace(roomy, joined=())) is not None:
            stretches = _and([str(stretch) for stretch in need.joined])
            return NoRoute(
                f"No host that answered holds all of layers {stretches}, which share keys and must be on one host. "
                "Ask more hosts with --peer.",
                missing=need.joined,
            )
        return NoRoute(
            f"No host that answered holds {_lost(remaining, missing, need)}; layers {need.layers} are needed. "
            "Ask more hosts with --peer.",
            missing=missing,
        )
    for rule in _RULES[:-1]:
        remaining = [each for each in remaining if rule.keeps(each, need)]
        if _cheapest(remaining, roomy) is None:
            return _only_hosts(rule, remaining, need)
    groups = _groups(remaining, need)
    if all(_cheapest(group, roomy) is None for group in groups):
        kinds = _and(sorted({numerics(each.offer.dtype, each.offer.weights) for each in remaining}))
        return NoRoute(
            f"The numerics of the hosts differ: layers {need.layers} are covered only by mixing {kinds}. "
            "Ask more hosts with --peer."
        )
    return _only_hosts(_MEMORY, [each for each in remaining if _MEMORY.keeps(each, need)], need)


def _only_hosts(rule: _Rule, remaining: Sequence[Candidate], need: Need) -> NoRoute:
    """Say that only hosts that break `rule` hold what `remaining` does not."""
    missing = _missing(remaining, need.layers)
    lost = _lost(remaining, missing, need)
    return NoRoute(f"Only hosts that {rule.otherwise} hold {lost}. {rule.advice}", missing=missing)


def _missing(candidates: Sequence[Candidate], wanted: LayerRange) -> tuple[LayerRange, ...]:
    """Return the stretches of `wanted` that no candidate holds, in order."""
    held = {layer for each in candidates for layer in range(each.offer.layers.start, each.offer.layers.end)}
    gaps: list[LayerRange] = []
    for layer in range(wanted.start, wanted.end):
        if layer in held:
            continue
        if gaps and gaps[-1].end == layer:
            gaps[-1] = LayerRange(gaps[-1].start, layer + 1)
        else:
            gaps.append(LayerRange(layer, layer + 1))
    return tuple(gaps)


def _lost(candidates: Sequence[Candidate], missing: Sequence[LayerRange], need: Need) -> str:
    """Say what nobody among `candidates` holds."""
    parts = [f"layers {_and([str(gap) for gap in missing])}"] if missing else []
    if not need.private_ends and not any(_has_head(each.offer) for each in candidates):
        parts.append("the head (final norm and lm_head)")
    return _and(parts) or f"layers {need.layers}"


def _has_head(offer: Offer) -> bool:
    return offer.head and offer.layers.end == offer.num_layers


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _printable(text: str) -> str:
    """Strip what a host's text must not do to a terminal."""
    return "".join(char for char in text if char.isprintable())
