"""Machines that are left over stand by for what would be missed most."""

from __future__ import annotations

from node.planning.cost import PROCESS_BYTES, Costs, Load
from node.planning.machines import Machine
from node.planning.replicas import replicas
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

COSTS = Costs(shape(8, 10, head_mb=5), WeightFormat.NATIVE, Load(context=0))
STAGES = [(LayerRange(1, 4), False, 0.03), (LayerRange(4, 8), True, 0.08)]


def machine(name: str, mb: int) -> Machine:
    return Machine(name=name, memory=PROCESS_BYTES + mb * MB)


def test_the_slowest_layers_are_copied_first_and_then_those_without_a_copy() -> None:
    found = replicas(COSTS, STAGES, [machine("b", 35), machine("a", 45)])
    assert [(one.machine.name, str(one.layers), one.head) for one in found] == [
        ("a", "4:8", True),
        ("b", "1:4", False),
    ]
    assert "only 1 other would serve" in found[0].reason
    assert found[0].memory_bytes == PROCESS_BYTES + 45 * MB


def test_what_cannot_hold_a_layer_or_has_no_route_to_stand_by_for_does_nothing() -> None:
    assert replicas(COSTS, STAGES, [machine("a", 9)]) == ()
    assert replicas(COSTS, [], [machine("a", 45)]) == ()
