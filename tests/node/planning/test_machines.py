"""Machines and what lies between them."""

from __future__ import annotations

import pytest

from node.planning.machines import Fleet, Link, Machine

A = Machine(name="a", memory=1 << 30, uplink=10, downlink=100)
B = Machine(name="b", memory=1 << 30, uplink=50, downlink=20)


def test_a_message_takes_the_latency_and_the_narrowest_rate_on_its_way() -> None:
    fleet = Fleet(client=A, hosts=(B,), usual=Link(latency_ms=5))
    assert fleet.seconds(A, B, 12_500) == pytest.approx(0.005 + 100_000 / 10e6)
    assert fleet.seconds(B, A, 12_500) == pytest.approx(0.005 + 100_000 / 50e6)


def test_a_link_of_its_own_wins_over_the_usual_one_in_both_directions() -> None:
    link = Link(latency_ms=1, rate=1)
    fleet = Fleet(client=A, hosts=(B,), links={frozenset(("a", "b")): link})
    assert fleet.link(A, B) is fleet.link(B, A) is link
    assert fleet.seconds(B, A, 125) == pytest.approx(0.002)
