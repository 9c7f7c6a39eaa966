"""Which machine should serve which layers: the fastest step of one token that the memory of all allows.

A step costs the links once round the ring and the stages. The client comes first, with the embedding and the front
layers; whoever has the last layer has the head too, unless the client keeps both ends. A plan keeps all weights in one
format: the first that fits, the one of most bits first. `docs/planning.md` says what is left out of the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from node.planning import feasible, search, words
from node.planning.cost import HOP_S, LAYER_S, Costs, Load
from node.planning.errors import NoPlan
from node.planning.machines import Fleet, Machine
from node.planning.replicas import Replica, replicas
from node.planning.search import Floats, Problem, Way
from node.planning.shape import ModelShape
from wire.tensors import WeightFormat
from wire.types import LayerRange

_TOKEN_BYTES: Final = 128
"""What the tail sends the client of a step: an id and a trace."""
_COMPARED: Final = (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32)
"""Formats whose speed is told in any case; the others only where none of these fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a plan is for."""

    load: Load = field(default_factory=Load)
    weights: WeightFormat | None = None
    """The only format allowed; any when None."""
    front_layers: int | None = None
    """Layers that the client computes; as many as is fastest, at least one, when None."""
    private_ends: bool = False
    """Whether the client keeps the head too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One machine's part."""

    machine: Machine
    layers: LayerRange
    head: bool
    memory_bytes: int
    """What its process takes, of `machine.memory`."""
    link_s: float
    """From the machine before to this one."""
    compute_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A machine that no token passes, and why."""

    machine: Machine
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The estimate for one format."""

    weights: WeightFormat
    tokens_per_s: float | None
    """None where it does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who serves what, and how fast that should be. All times are estimates."""

    weights: WeightFormat
    client: Stage
    """The client's part; its head is set where it keeps both ends."""
    stages: tuple[Stage, ...]
    return_s: float
    """From the last machine back to the client."""
    replicas: tuple[Replica, ...]
    left_out: tuple[LeftOut, ...]
    expected: tuple[Expected, ...]
    reason: str

    @property
    def step_s(self) -> float:
        """Seconds of one token's step."""
        return self.compute_s + self.links_s + self.hops_s

    @property
    def compute_s(self) -> float:
        """Of that, what is spent in layers."""
        return self.client.compute_s + sum(stage.compute_s for stage in self.stages)

    @property
    def links_s(self) -> float:
        """Of that, what is spent between machines."""
        return self.return_s + sum(stage.link_s for stage in self.stages)

    @property
    def hops_s(self) -> float:
        """Of that, what each hop costs beside its link and its layers."""
        return HOP_S * len(self.stages)

    @property
    def tokens_per_s(self) -> float:
        """Of one session alone."""
        return 1 / self.step_s


def plan(shape: ModelShape, fleet: Fleet, ask: Ask) -> Plan:
    """The fastest plan in the first format that fits.

    Raises:
        NoPlan: nothing allowed fits, with the memory that is missing.
    """
    allowed = shape.formats if ask.weights is None else (ask.weights,)
    if ask.weights is not None and ask.weights not in shape.formats:
        held = " or ".join(one.value for one in shape.formats)
        raise NoPlan(f"this folder's weights are {held}, not {ask.weights.value}", "leave --weights out")
    _check(shape, ask)
    expected: list[Expected] = []
    found: Plan | None = None
    for weights in allowed:
        if found is not None and weights not in _COMPARED:
            continue
        one = _plan(Costs(shape, weights, ask.load), fleet, ask)
        expected.append(Expected(weights=weights, tokens_per_s=None if one is None else one.tokens_per_s))
        found = found or one
    if found is None:
        raise feasible.no_plan(Costs(shape, allowed[-1], ask.load), fleet, ask.front_layers, ask.private_ends)
    return Plan(
        weights=found.weights,
        client=found.client,
        stages=found.stages,
        return_s=found.return_s,
        replicas=found.replicas,
        left_out=found.left_out,
        expected=tuple(expected),
        reason=words.format_reason(found.weights, expected_before(expected, found.weights), ask.weights)
        + "; "
        + found.reason,
    )


def expected_before(expected: Sequence[Expected], weights: WeightFormat) -> list[WeightFormat]:
    """The formats that were tried before `weights` and do not fit."""
    tried = [one.weights for one in expected]
    return tried[: tried.index(weights)]


def _check(shape: ModelShape, ask: Ask) -> None:
    front = ask.front_layers
    if front is not None and not 0 <= front <= shape.num_layers:
        raise NoPlan(f"the model has {shape.num_layers} layers, not {front}", "ask for fewer front layers")
    if front is not None and not shape.may_cut(front):
        stretch = next(one for one in shape.joined if one.parted_at(front))
        raise NoPlan(
            f"layers {stretch} share keys and are not cut apart",
            f"ask for {stretch.start} or {stretch.end} front layers",
        )
    if ask.load.context > shape.max_positions:
        raise NoPlan(
            f"the model takes {shape.max_positions} positions, not {ask.load.context}",
            "ask for less with --context",
        )


def _plan(costs: Costs, fleet: Fleet, ask: Ask) -> Plan | None:
    """The fastest plan in one format, or None."""
    cuts = costs.shape.cuts()
    problem = _problem(costs, fleet, ask, cuts)
    way = search.fastest(problem)
    alone = float(problem.begin[-1]) + _ends_s(costs, fleet, ask) if ask.private_ends else np.inf
    if way is None and not np.isfinite(alone):
        return None
    if way is None or alone <= way.seconds:
        way = Way(seconds=alone, legs=(), best_with=() if way is None else way.best_with)
    return _told(costs, fleet, ask, cuts, (problem, way))


def _ends_s(costs: Costs, fleet: Fleet, ask: Ask) -> float:
    """What the client does after the last machine."""
    return costs.head_s / fleet.client.bandwidth if ask.private_ends else 0.0


def _problem(costs: Costs, fleet: Fleet, ask: Ask, cuts: Sequence[int]) -> Problem:
    """The same in seconds and boundaries."""
    shape, hosts, client = costs.shape, fleet.hosts, fleet.client
    begin = np.full(len(cuts), np.inf)
    for index, front in enumerate(cuts):
        wanted = front >= 1 if ask.front_layers is None else front == ask.front_layers
        if wanted and costs.client_bytes(front, head=ask.private_ends) <= client.memory:
            begin[index] = costs.stage_s(client, LayerRange(0, front), head=False)
    at = np.array(cuts)
    held, read = np.array(costs.held)[at], np.array(costs.read_s)[at]
    sizes = held[None, :] - held[:, None] + costs.host_bytes(LayerRange(0, 0), head=False)
    reads = read[None, :] - read[:, None]
    if not ask.private_ends:
        sizes[:, -1] += shape.head[costs.weights]
        reads[:, -1] += costs.head_s
    spans = at[None, :] - at[:, None]
    stage = np.full((len(hosts), len(cuts), len(cuts)), np.inf)
    for number, host in enumerate(hosts):
        fits = (spans > 0) & (sizes <= host.memory)
        stage[number][fits] = (reads / host.bandwidth + LAYER_S * spans + HOP_S)[fits]
    back = shape.hidden_bytes if ask.private_ends else _TOKEN_BYTES
    ends = _ends_s(costs, fleet, ask)
    return Problem(
        begin=begin,
        enter=_times([fleet.seconds(client, one, shape.hidden_bytes) for one in hosts]),
        between=_times([[fleet.seconds(one, other, shape.hidden_bytes) for other in hosts] for one in hosts]),
        leave=_times([fleet.seconds(one, client, back) + ends for one in hosts]),
        stage=stage,
    )


def _times(values: Sequence[float] | Sequence[Sequence[float]]) -> Floats:
    return np.array(values, dtype=np.float64)


def _told(costs: Costs, fleet: Fleet, ask: Ask, cuts: Sequence[int], found: tuple[Problem, Way]) -> Plan:
    """A way as a plan."""
    problem, way = found
    front = LayerRange(0, cuts[way.legs[0].start] if way.legs else cuts[-1])
    client = Stage(
        machine=fleet.client,
        layers=front,
        head=ask.private_ends,
        memory_bytes=costs.client_bytes(front.end, head=ask.private_ends),
        link_s=0.0,
        compute_s=costs.stage_s(fleet.client, front, head=ask.private_ends),
    )
    stages: list[Stage] = []
    for leg in way.legs:
        host, layers = fleet.hosts[leg.machine], LayerRange(cuts[leg.start], cuts[leg.end])
        head = layers.end == costs.shape.num_layers and not ask.private_ends
        before = stages[-1].machine if stages else fleet.client
        stages.append(
            Stage(
                machine=host,
                layers=layers,
                head=head,
                memory_bytes=costs.host_bytes(layers, head=head),
                link_s=fleet.seconds(before, host, costs.shape.hidden_bytes),
                compute_s=costs.stage_s(host, layers, head=head),
            )
        )
    last = way.legs[-1].machine if way.legs else None
    idle = [number for number in range(len(fleet.hosts)) if number not in {leg.machine for leg in way.legs}]
    left_out = [
        LeftOut(
            machine=fleet.hosts[number],
            reason=words.left_out(
                way.seconds,
                way.best_with[number] if way.best_with else None,
                holds_any=bool(np.isfinite(problem.stage[number]).any()),
            ),
        )
        for number in idle
    ]
    return Plan(
        weights=costs.weights,
        client=client,
        stages=tuple(stages),
        return_s=0.0 if last is None else float(problem.leave[last]) - _ends_s(costs, fleet, ask),
        replicas=replicas(
            costs,
            [(stage.layers, stage.head, stage.compute_s) for stage in stages],
            [fleet.hosts[number] for number in idle],
        ),
        left_out=tuple(left_out),
        expected=(),
        reason=words.choice_reason(len(stages), len(fleet.hosts), exact=bool(way.best_with)),
    )
