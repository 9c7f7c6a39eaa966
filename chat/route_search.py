"""The cheapest way through the layers of a model, each peer at most once. `chat.route` gives the numbers meaning.

A shortest path over the boundaries between layers, where the head is one step more after the last layer. It is found
by A* with the exact distances of the easier problem (peers may repeat) as the heuristic: when the easier answer repeats
no peer, which is nearly always, the search walks straight along it. Costs are integers of nanoseconds, so that equal
ways are exactly equal and the fewer legs win.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wire.types import LayerRange

_MAX_VISITS: Final = 200
"""Security limit: partial ways continued from one boundary, best first; only contrived offers get there."""

Cost = tuple[int, int, int]
"""Nanoseconds, legs, sessions already open at the peers: compared in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What one offer can serve: any part of `layers`."""

    owner: int
    """Number of the peer; no two legs have the same."""
    layers: LayerRange
    head: bool
    """Whether the head can follow the last of `layers`."""
    most_layers: int
    """The most layers one leg may have."""
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
    spans: Sequence[Span], layers: LayerRange, *, head: bool, repeat: bool = False
) -> list[Leg] | None:
    """Return the cheapest legs that cover `layers`, or None when there are none.

    Args:
        head: Whether the last leg must have the head.
        repeat: Whether one owner may serve several legs.
    """
    start, goal = layers.start, layers.end + head
    edges = _edges(spans, layers, head=head)
    ahead = _distances(edges, start, goal)
    if start not in ahead:
        return None
    # The count breaks the last ties by order of discovery, which the order of `spans` fixes.
    heap: list[tuple[Cost, int, int, Cost, frozenset[int], tuple[Leg, ...]]]
    heap = [(ahead[start], 0, start, (0, 0, 0), frozenset(), ())]
    visits: Counter[int] = Counter()
    seen: set[tuple[int, frozenset[int]]] = set()
    count = 0
    while heap:
        _, _, here, spent, used, legs = heapq.heappop(heap)
        if here == goal:
            return list(legs)
        if (here, used) in seen or visits[here] == _MAX_VISITS:
            continue
        seen.add((here, used))
        visits[here] += 1
        for there, leg, cost in edges[here]:
            owner = spans[leg.span].owner
            if there not in ahead or owner in used:
                continue
            count += 1
            total = _add(spent, cost)
            held = used if repeat else used | {owner}
            heapq.heappush(heap, (_add(total, ahead[there]), count, there, total, held, (*legs, leg)))
    return None


def _edges(spans: Sequence[Span], layers: LayerRange, *, head: bool) -> Edges:
    """List the legs worth taking.

    Cost is linear in where two legs meet, so an optimal meeting point is where one slice ends, where another starts,
    or the last boundary at which a slice with the head may start. Only where memory stops a leg early can every
    boundary matter.
    """
    start, goal = layers.start, layers.end + head
    limited = any(span.most_layers < len(span.layers) for span in spans)
    stops = set(range(start, goal + 1)) if limited else {start, layers.end, goal}
    if not limited:
        bounds = {bound for span in spans for bound in (span.layers.start, span.layers.end)}
        stops |= {bound for bound in (*bounds, layers.end - 1) if start <= bound <= layers.end}
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
                if not begin < stop <= span.layers.end + with_head or last - begin > span.most_layers:
                    continue
                leg = Leg(index, LayerRange(begin, last), stop > layers.end)
                cost = (span.enter_ns + span.layer_ns * (stop - begin), 1, span.sessions)
                edges[begin].append((stop, leg, cost))
    return edges


def _distances(edges: Edges, start: int, goal: int) -> dict[int, Cost]:
    """Return the least cost from each boundary to `goal`, owners repeating freely; unreachable ones are left out."""
    ahead: dict[int, Cost] = {goal: (0, 0, 0)}
    for begin in sorted((stop for stop in edges if start <= stop < goal), reverse=True):
        ways = [_add(cost, ahead[there]) for there, _, cost in edges[begin] if there in ahead]
        if ways:
            ahead[begin] = min(ways)
    return ahead


def _add(left: Cost, right: Cost) -> Cost:
    return (left[0] + right[0], left[1] + right[1], left[2] + right[2])
