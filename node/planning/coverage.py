"""How many serve each layer, and which stretch one more host should take.

The units counted are the layers and, after the last, the head. A stretch is judged by what stays uncovered, then by
into how many gaps that falls, then by how thin the rest is; so hosts that join close a gap from its ends, and a gap
is closed as soon as their memory suffices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from node.planning.cost import Costs
from wire.types import LayerRange

THINNING: Final = 4.0
"""A layer that one host more serves counts so many times less when it is asked where another is needed most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is served: one entry for each layer, and one for the head."""

    hosts: tuple[int, ...]
    """How many serve it."""
    capacity: tuple[float, ...]
    """What they can do together, an idle host of usual speed being 1."""

    @property
    def uncovered(self) -> int:
        """Units that nobody serves."""
        return self.hosts.count(0)

    @property
    def thinness(self) -> float:
        """How badly more hosts are needed: the sum over all units, the thin ones far above the others."""
        return sum(thinness(one) for one in self.capacity)

    def joined_by(self, layers: LayerRange, capacity: float = 1.0) -> Coverage:
        """The coverage with one more host of `layers`, and of the head if they are the last."""
        inside = [unit in units(layers, len(self.hosts) - 1) for unit in range(len(self.hosts))]
        return Coverage(
            hosts=tuple(one + is_in for one, is_in in zip(self.hosts, inside, strict=True)),
            capacity=tuple(one + capacity * is_in for one, is_in in zip(self.capacity, inside, strict=True)),
        )


def thinness(capacity: float) -> float:
    """How badly one unit of this capacity needs another host; 1 where there is none."""
    return float(THINNING**-capacity)


def nobody(num_layers: int) -> Coverage:
    """The coverage of a model that nobody serves."""
    return Coverage(hosts=(0,) * (num_layers + 1), capacity=(0.0,) * (num_layers + 1))


def units(layers: LayerRange, num_layers: int) -> range:
    """The units of a host that serves `layers`: whoever has the last layer has the head too."""
    return range(layers.start, layers.end + (layers.end == num_layers))


def longest(costs: Costs, budget_bytes: int) -> list[LayerRange]:
    """Every stretch that fits a budget and would not with one more piece at either end.

    Args:
        budget_bytes: for the whole process.
    """
    cuts, count = costs.shape.cuts(), costs.shape.num_layers

    def fits(start: int, end: int) -> bool:
        layers = LayerRange(cuts[start], cuts[end])
        return costs.host_bytes(layers, head=layers.end == count) <= budget_bytes

    found: dict[LayerRange, None] = {}
    end = 0
    for start in range(len(cuts) - 1):
        end = max(end, start)
        while end + 1 < len(cuts) and fits(start, end + 1):
            end += 1
        if end > start:
            found[LayerRange(cuts[start], cuts[end])] = None
    start = 0
    for end in range(1, len(cuts)):
        while start < end and not fits(start, end):
            start += 1
        if start < end:
            found[LayerRange(cuts[start], cuts[end])] = None
    kept: list[LayerRange] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.end > kept[-1].end:
            kept.append(one)
    return kept


def neediest(
    coverage: Coverage,
    stretches: Sequence[LayerRange],
    *,
    tie: Callable[[LayerRange], object],
    capacity: float = 1.0,
) -> LayerRange | None:
    """The stretch that a further host should take; None when there is none to choose from.

    Args:
        tie: decides between stretches that are as good.
        capacity: of the further host.
    """
    count = len(coverage.hosts)
    bare = [one == 0 for one in coverage.hosts]
    covered = [0, *accumulate(bare)]
    begins = [0, *accumulate(bare[at] and not (at and bare[at - 1]) for at in range(count))]
    gains = [thinness(one) - thinness(one + capacity) for one in coverage.capacity]
    gained = [0.0, *accumulate(gains)]

    def judged(layers: LayerRange) -> tuple[object, ...]:
        taken = units(layers, count - 1)
        start, end = taken.start, taken.stop
        gaps = begins[start] + (begins[count] - begins[end + 1] + bare[end] if end < count else 0)
        left = covered[count] - covered[end] + covered[start]
        return left, gaps, round(gained[start] - gained[end], 9), tie(layers)

    return min(stretches, key=judged, default=None)
