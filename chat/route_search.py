"""The cheapest way through the layers of a model. `chat.route` gives the numbers meaning.

A shortest path over the boundaries between layers, where the head is one step more after the last layer. All legs lead
forward, so one pass from the end settles it. Costs are integers of nanoseconds, so that equal ways are exactly equal
and the fewer legs win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wire.types import LayerRange

Cost = tuple[int, int, int]
"""Nanoseconds, legs, sessions already open at the peers: compared in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What one offer can serve: any part of `layers`."""

    layers: LayerRange
    head: bool
    """Whether the head can follow the last of `layers`."""
    enter_ns: int
    """Cost of using the peer at all."""
    layer_ns: int
    """Cost of one layer, and of the head."""
    sessions: int


@dataclass(frozen=True, slots=True)
class Leg:
    """`layers` served by `spans[span]`, and the head when `head`."""

    span: int
    layers: LayerRange
    head: bool


Edges = Mapping[int, Sequence[tuple[int, Leg, Cost]]]
"""By the boundary where a leg starts: the boundary it leads to, the leg, its cost."""


def cheapest(
    spans: Sequence[Span], layers: LayerRange, *, head: bool, joined: Sequence[LayerRange] = ()
) -> list[Leg] | None:
    """Return the cheapest legs that cover `layers`, or None when there are none.

    Args:
        head: Whether the last leg must have the head.
        joined: Stretches of layers that must be on one leg.
    """
    start, goal = layers.start, layers.end + head
    edges = _edges(spans, layers, head=head, joined=joined)
    # From each boundary to the goal: the cost, and the leg to take first.
    best: dict[int, tuple[Cost, int, Leg | None]] = {goal: ((0, 0, 0), goal, None)}
    for begin in sorted((stop for stop in edges if start <= stop < goal), reverse=True):
        ways = [
            (_add(cost, best[there][0]), there, leg) for there, leg, cost in edges[begin] if there in best
        ]
        if ways:
            # Of equal ways the first found, which the order of `spans` fixes.
            best[begin] = min(ways, key=lambda way: way[0])
    if start not in best:
        return None
    legs: list[Leg] = []
    here = start
    while here != goal:
        _, here, leg = best[here]
        if leg is not None:
            legs.append(leg)
    return legs


def _edges(spans: Sequence[Span], layers: LayerRange, *, head: bool, joined: Sequence[LayerRange]) -> Edges:
    """List the legs worth taking.

    Cost is linear in where two legs meet, so an optimal meeting point is where one slice ends, where another starts,
    the last boundary at which a slice with the head may start, or an end of a stretch that is not parted.
    """
    start, goal = layers.start, layers.end + head
    bounds = {bound for span in (*joined, *(one.layers for one in spans)) for bound in (span.start, span.end)}
    stops = {bound for bound in (*bounds, start, layers.end - 1, layers.end) if start <= bound <= layers.end}
    stops -= {bound for bound in stops if any(stretch.parted_at(bound) for stretch in joined)}
    stops.add(goal)
    edges: dict[int, list[tuple[int, Leg, Cost]]] = {stop: [] for stop in stops}
    ordered = sorted(stops)
    for index, span in enumerate(spans):
        with_head = head and span.head and span.layers.end == layers.end
        for begin in ordered:
            # A leg of the head alone is for slices that have nothing else, or when nothing else is left to cover.
            alone = begin == layers.end and span.layers.start < begin and start < begin
            if not span.layers.start <= begin <= span.layers.end or alone:
                continue
            for stop in ordered:
                last = min(stop, layers.end)
                if not begin < stop <= span.layers.end + with_head:
                    continue
                leg = Leg(index, LayerRange(begin, last), stop > layers.end)
                cost = (span.enter_ns + span.layer_ns * (stop - begin), 1, span.sessions)
                edges[begin].append((stop, leg, cost))
    return edges


def _add(left: Cost, right: Cost) -> Cost:
    return (left[0] + right[0], left[1] + right[1], left[2] + right[2])
