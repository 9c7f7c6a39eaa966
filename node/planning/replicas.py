"""What machines that no token needs to pass should serve: copies of what would be missed most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.planning.cost import Costs
from node.planning.coverage import Coverage, longest, neediest, nobody, units
from node.planning.machines import Machine
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A machine that stands by."""

    machine: Machine
    layers: LayerRange
    head: bool
    memory_bytes: int
    reason: str


def replicas(
    costs: Costs, stages: Sequence[tuple[LayerRange, bool, float]], idle: Sequence[Machine]
) -> tuple[Replica, ...]:
    """What each idle machine should serve, where it can serve anything: first what fewest serve, then what is slowest.

    Args:
        stages: the layers of the route, whether the head is with them, and their seconds.
    """
    count = costs.shape.num_layers
    covered = nobody(count)
    for layers, _, _ in stages:
        covered = covered.joined_by(layers)
    slowness = [0.0] * (count + 1)
    for layers, _, seconds in stages:
        for unit in units(layers, count):
            slowness[unit] = seconds / len(layers)
    # What the client computes needs no copy.
    on_route = [any(unit in units(layers, count) for layers, _, _ in stages) for unit in range(count + 1)]
    covered = Coverage(
        hosts=tuple(one if on else 1 for one, on in zip(covered.hosts, on_route, strict=True)),
        capacity=tuple(
            one if on else count + 1.0 for one, on in zip(covered.capacity, on_route, strict=True)
        ),
    )
    found: list[Replica] = []
    for machine in sorted(idle, key=lambda one: -one.memory) if stages else ():
        stretch = neediest(
            covered,
            longest(costs, machine.memory),
            tie=lambda one: (-sum(slowness[unit] for unit in units(one, count)), one),
        )
        if stretch is None:
            continue
        copies = min(covered.hosts[unit] for unit in units(stretch, count))
        covered = covered.joined_by(stretch)
        found.append(
            Replica(
                machine=machine,
                layers=stretch,
                head=stretch.end == count,
                memory_bytes=costs.host_bytes(stretch, head=stretch.end == count),
                reason=f"a copy of layers {stretch}, some of which only {copies} other{'s' * (copies > 1)} would serve",
            )
        )
    return tuple(found)
