"""What would help most is computed, not guessed."""

from __future__ import annotations

from node.planning.advice import LEAST_GAIN, advise
from node.planning.machines import Fleet
from node.planning.partition import Ask, plan
from tests.fakes.fleets import fleet, host
from tests.fakes.shapes import shape

ASK = Ask(front_layers=1)


def told(swarm: Fleet) -> tuple[str, float] | None:
    found = plan(shape(20), swarm, ASK)
    advice = advise(shape(20), swarm, ASK, found)
    if advice is None:
        return None
    assert advice.tokens_per_s >= LEAST_GAIN * found.tokens_per_s
    return advice.change, advice.tokens_per_s


def test_far_machines_should_be_nearer() -> None:
    advice = told(fleet(host("a", 1.5), host("b", 1.5), latency_ms=60))
    assert advice is not None
    assert "links of 1 ms" in advice[0]


def test_a_slow_machine_should_be_faster_or_the_fast_one_larger() -> None:
    advice = told(fleet(host("a", 1.5, 100.0), host("b", 1.5, 5.0)))
    assert advice is not None
    assert "more memory in a" in advice[0] or "in b" in advice[0]


def test_nothing_is_said_where_nothing_helps() -> None:
    assert told(fleet(host("a", 8), latency_ms=0.1)) is None
