"""Whether machines can hold a model at all, whatever the speed, and how much memory is missing when they cannot."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from node.planning import words
from node.planning.cost import Costs
from node.planning.errors import NoPlan
from node.planning.machines import Fleet, Machine
from wire.types import LayerRange

_MOST_EXACT: Final = 12
"""Machines whose every order is looked at; beyond that, only the one from the largest to the smallest."""


def reach(costs: Costs, machine: Machine, start: int, *, head: bool) -> int:
    """The last boundary that a machine can serve to from boundary `start`; `start` where it can serve nothing.

    Args:
        head: whether a host that reaches the end must have room for the head.
    """
    count = costs.shape.num_layers
    # The layers' own sums, so that the end is found without adding them up for each.
    room = machine.memory - costs.host_bytes(LayerRange(0, 0), head=False) + costs.held[start]
    end = min(count, bisect_right(costs.held, room) - 1)
    if end == count and head and costs.host_bytes(LayerRange(start, count), head=True) > machine.memory:
        end -= 1
    while end > start and not costs.shape.may_cut(end):
        end -= 1
    return max(start, end)


def furthest(costs: Costs, fleet: Fleet, front: int, *, head: bool) -> int:
    """The last boundary that hosts can serve to together after the client's `front` layers."""
    hosts = sorted(fleet.hosts, key=lambda one: -one.memory)
    if len(hosts) > _MOST_EXACT:
        at = front
        for host in hosts:
            at = reach(costs, host, at, head=head)
        return at
    ends = {0: front}
    for used in range(1, 1 << len(hosts)):
        ends[used] = max(
            reach(costs, host, ends[used & ~(1 << number)], head=head)
            for number, host in enumerate(hosts)
            if used >> number & 1
        )
    return ends[(1 << len(hosts)) - 1]


def no_plan(costs: Costs, fleet: Fleet, front_layers: int | None, private_ends: bool) -> NoPlan:
    """Why a model does not fit, and the memory of one more machine with which it would."""
    shape, client = costs.shape, fleet.client
    fronts = [
        front
        for front in shape.cuts()
        if front < shape.num_layers + private_ends
        and (front >= 1 if front_layers is None else front == front_layers)
        and costs.client_bytes(front, head=private_ends) <= client.memory
    ]
    if not fronts:
        least = front_layers if front_layers is not None else next(at for at in shape.cuts() if at >= 1)
        need = costs.client_bytes(least, head=private_ends)
        return NoPlan(
            f"{client.name}, the client, needs {words.gb(need)} for the embedding and layers 0:{least} in "
            f"{costs.weights.value} and has {words.gb(client.memory)}",
            "give it more memory" + (", or fewer front layers" if least > 1 else ""),
        )
    end = furthest(costs, fleet, fronts[-1], head=not private_ends)
    missing = costs.host_bytes(LayerRange(end, shape.num_layers), head=not private_ends)
    return NoPlan(
        f"in {costs.weights.value} weights the machines hold layers 0:{end} of 0:{shape.num_layers}"
        + ("" if private_ends else " and the head"),
        f"another machine with {words.gb(missing)} would hold the rest; or ask for less with --context or --sessions",
        missing_bytes=missing,
    )
