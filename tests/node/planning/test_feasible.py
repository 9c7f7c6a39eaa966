"""Whether a model fits at all, and what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.planning.cost import PROCESS_BYTES, Costs, Load
from node.planning.errors import NoPlan
from node.planning.feasible import furthest, no_plan, reach
from node.planning.machines import Machine
from node.planning.partition import Ask, plan
from tests.fakes.fleets import fleet
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

LOAD = Load(context=0)


def costs(count: int = 8, joined: tuple[LayerRange, ...] = ()) -> Costs:
    return Costs(shape(count, 10, head_mb=25, joined=joined), WeightFormat.NATIVE, LOAD)


def machine(name: str, mb: int) -> Machine:
    return Machine(name=name, memory=PROCESS_BYTES + mb * MB)


def test_a_machine_reaches_as_far_as_its_memory_and_the_head_allow() -> None:
    assert reach(costs(), machine("a", 35), 2, head=True) == 5
    assert reach(costs(), machine("a", 35), 5, head=True) == 7
    assert reach(costs(), machine("a", 35), 5, head=False) == 8
    assert reach(costs(), machine("a", 9), 2, head=True) == 2
    assert reach(costs(joined=(LayerRange(3, 6),)), machine("a", 35), 2, head=True) == 3


def test_the_order_of_machines_is_the_best_one() -> None:
    small, large = machine("a", 20), machine("b", 60)
    assert furthest(costs(), fleet(small, large), 1, head=True) == 7
    assert furthest(costs(joined=(LayerRange(1, 6),)), fleet(small, large), 1, head=True) == 7


def test_a_client_that_cannot_hold_the_embedding_is_told_so() -> None:
    swarm = fleet(machine("a", 9_000), client_gib=0.4)
    error = no_plan(costs(), swarm, None, False)
    assert "me, the client, needs 486M for the embedding and layers 0:1" in str(error)
    assert error.missing_bytes is None
    assert "fewer front layers" in str(no_plan(costs(), swarm, 4, False))


@given(st.lists(st.integers(10, 45), min_size=1, max_size=4))
def test_the_memory_that_is_said_to_be_missing_is_enough(sizes: list[int]) -> None:
    model = costs().shape
    swarm = fleet(*(machine(f"m{number}", mb) for number, mb in enumerate(sizes)), client_gib=0.5)
    ask = Ask(load=LOAD, weights=WeightFormat.NATIVE, front_layers=1)
    try:
        plan(model, swarm, ask)
    except NoPlan as error:
        assert error.missing_bytes is not None
        more = Machine(name="more", memory=error.missing_bytes)
        assert plan(model, fleet(*swarm.hosts, more, client_gib=0.5), ask).stages
