"""Plans for machines that are known: nothing is faster, nothing is over its memory, all of it is explained."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.planning.cost import HOP_S, Costs, Load
from node.planning.errors import NoPlan
from node.planning.machines import Fleet
from node.planning.partition import Ask, Plan, Stage, plan
from node.planning.replicas import Replica
from node.planning.shape import ModelShape
from tests.fakes.fleets import fleet, host
from tests.fakes.shapes import shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

NATIVE = Ask(weights=WeightFormat.NATIVE)


def check(model: ModelShape, found: Plan, ask: Ask) -> None:
    """A plan serves every layer once and stays within every machine's memory."""
    at = found.client.layers.end
    for stage in found.stages:
        assert stage.layers.start == at
        at = stage.layers.end
        assert model.may_cut(at)
    assert at == model.num_layers
    assert [stage.head for stage in found.stages][-1:] == ([not ask.private_ends] if found.stages else [])
    parts: tuple[Stage | Replica, ...] = (found.client, *found.stages, *found.replicas)
    for part in parts:
        assert part.memory_bytes <= part.machine.memory
    everyone = [one.machine.name for one in found.stages] + [one.machine.name for one in found.left_out]
    assert len(set(everyone)) == len(everyone)
    assert {one.machine.name for one in found.replicas} <= {one.machine.name for one in found.left_out}
    total = found.client.compute_s + found.return_s
    total += sum(stage.link_s + HOP_S + stage.compute_s for stage in found.stages)
    assert found.step_s == pytest.approx(total)


def fastest_by_hand(model: ModelShape, swarm: Fleet, ask: Ask) -> float:
    """The least step over every choice, order and cut, by the costs' own words."""
    costs, client, best = Costs(model, WeightFormat.NATIVE, ask.load), swarm.client, float("inf")
    cuts, last = model.cuts(), model.num_layers
    for hops in range(1, len(swarm.hosts) + 1):
        for order in permutations(swarm.hosts, hops):
            for bounds in combinations([at for at in cuts if 1 <= at < last], hops):
                if costs.client_bytes(bounds[0], head=ask.private_ends) > client.memory:
                    continue
                ranges = [LayerRange(a, b) for a, b in zip(bounds, (*bounds[1:], last), strict=True)]
                heads = [one.end == last and not ask.private_ends for one in ranges]
                each = list(zip(order, ranges, heads, strict=True))
                if any(costs.host_bytes(r, head=h) > m.memory for m, r, h in each):
                    continue
                stops = (client, *order)
                back = model.hidden_bytes if ask.private_ends else 128
                seconds = costs.stage_s(client, LayerRange(0, bounds[0]), head=ask.private_ends)
                seconds += sum(costs.stage_s(m, r, head=h) + HOP_S for m, r, h in each)
                seconds += sum(
                    swarm.seconds(a, b, model.hidden_bytes) for a, b in zip(stops, order, strict=False)
                )
                best = min(best, seconds + swarm.seconds(order[-1], client, back))
    return best


@st.composite
def swarms(draw: st.DrawFn) -> Fleet:
    names = [f"m{number}" for number in range(draw(st.integers(1, 3)))]
    hosts = [host(name, draw(st.floats(0.3, 1.2)), draw(st.floats(5, 40))) for name in names]
    links = {pair: draw(st.floats(0.1, 30)) for pair in combinations(names, 2)}
    return fleet(*hosts, client_gib=draw(st.floats(0.6, 1.0)), links=links)


@given(swarms(), st.booleans(), st.booleans())
def test_no_plan_is_faster_than_the_one_proposed(swarm: Fleet, private_ends: bool, joined: bool) -> None:
    model = shape(6, joined=(LayerRange(2, 4),) if joined else (), position_bytes=100)
    ask = Ask(weights=WeightFormat.NATIVE, private_ends=private_ends)
    expected = fastest_by_hand(model, swarm, ask)
    try:
        found = plan(model, swarm, ask)
    except NoPlan:
        assert expected == float("inf")
        return
    check(model, found, ask)
    if found.stages:
        assert found.step_s == pytest.approx(expected, abs=1e-6)
    else:
        assert private_ends
        assert found.step_s <= expected + 1e-6


def test_one_machine_that_holds_it_all_is_better_than_two() -> None:
    swarm = fleet(host("a", 8), host("b", 8), latency_ms=5)
    found = plan(shape(10), swarm, Ask(front_layers=1))
    assert [str(stage.layers) for stage in found.stages] == ["1:10"]
    (left,) = found.left_out
    assert left.reason.startswith("with it a token would take ")
    (replica,) = found.replicas
    assert (replica.machine, str(replica.layers)) == (left.machine, "0:10")
    assert found.reason.startswith("native weights fit; 1 of 2 hosts: the least time")


def test_faster_machines_get_more_layers_and_near_ones_come_one_after_the_other() -> None:
    links = {("a", "c"): 1.0, ("b", "c"): 1.0, ("a", "b"): 80.0}
    swarm = fleet(host("a", 1), host("b", 1), host("c", 1, 40.0), client_gib=0.7, links=links)
    found = plan(shape(14), swarm, NATIVE)
    assert [stage.machine.name for stage in found.stages][1] == "c"
    check(shape(14), found, NATIVE)


def test_when_native_weights_do_not_fit_the_next_format_is_taken_and_said() -> None:
    swarm = fleet(host("a", 2.2))
    found = plan(shape(30), swarm, Ask(front_layers=1))
    assert found.weights is WeightFormat.INT8
    assert found.reason.startswith("int8 weights, since native do not fit; ")
    rates = {one.weights: one.tokens_per_s for one in found.expected}
    assert rates[WeightFormat.NATIVE] is None
    assert (rates[WeightFormat.INT8] or 0) < (rates[WeightFormat.INT4_32] or 0)


def test_memory_for_sessions_counts() -> None:
    model = shape(10, position_bytes=8_192)
    swarm = fleet(host("a", 2))
    assert plan(model, swarm, NATIVE).stages
    many = Ask(weights=WeightFormat.NATIVE, load=Load(sessions=40, context=4_096))
    with pytest.raises(NoPlan, match=r"another machine with .* would hold the rest"):
        plan(model, swarm, many)


def test_what_cannot_be_asked_for_is_refused() -> None:
    model, swarm = shape(6, joined=(LayerRange(2, 5),)), fleet(host("a", 8))
    for ask, words in (
        (Ask(front_layers=7), "the model has 6 layers, not 7"),
        (Ask(front_layers=3), "ask for 2 or 5 front layers"),
        (Ask(load=Load(context=40_000)), "takes 32768 positions"),
    ):
        with pytest.raises(NoPlan, match=words):
            plan(model, swarm, ask)


def test_without_hosts_the_client_alone_must_hold_both_ends() -> None:
    found = plan(shape(4), fleet(client_gib=4), Ask(private_ends=True))
    assert (found.stages, str(found.client.layers), found.client.head) == ((), "0:4", True)
    assert found.links_s == found.hops_s == 0
    with pytest.raises(NoPlan):
        plan(shape(4), fleet(client_gib=4), Ask())


def test_a_machine_too_small_for_a_layer_is_left_out_with_the_reason() -> None:
    found = plan(shape(6), fleet(host("a", 4), host("b", 0.4)), NATIVE)
    (left,) = found.left_out
    assert "does not hold one layer" in left.reason
    assert found.replicas == ()
