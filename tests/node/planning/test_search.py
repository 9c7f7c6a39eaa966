"""The search finds what trying everything finds."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.planning import search
from node.planning.search import Floats, Problem, Way, beam, exact, fastest


def problem(
    capacity: list[int], speed: list[float], between: Floats, boundaries: int, begin: list[float]
) -> Problem:
    """Machines that each take at most so many layers, at so many seconds a layer."""
    stage = np.full((len(capacity), boundaries, boundaries), np.inf)
    for machine, most in enumerate(capacity):
        for start in range(boundaries):
            for end in range(start + 1, min(boundaries, start + most + 1)):
                stage[machine, start, end] = speed[machine] * (end - start)
    ends = np.asarray(between)[0] if len(between) else np.zeros(0)
    return Problem(
        begin=np.array([begin[at] if at < len(begin) else np.inf for at in range(boundaries)]),
        enter=ends,
        between=np.asarray(between, dtype=float),
        leave=ends[::-1].copy(),
        stage=stage,
    )


@st.composite
def problems(draw: st.DrawFn, most: int = 4) -> Problem:
    count = draw(st.integers(1, most))
    boundaries = draw(st.integers(2, 7))
    times = st.floats(0.001, 1.0)
    between = np.array([[draw(times) for _ in range(count)] for _ in range(count)])
    capacity = [draw(st.integers(0, 6)) for _ in range(count)]
    speed = [draw(times) for _ in range(count)]
    begin = draw(st.lists(times, min_size=1, max_size=2))
    return problem(capacity, speed, between, boundaries, begin)


def brute(given: Problem) -> float:
    """The least time over every set, order and cut."""
    best, last = np.inf, len(given.begin) - 1
    for hops in range(1, given.num_machines + 1):
        for order in permutations(range(given.num_machines), hops):
            for cut in combinations(range(last), hops):
                bounds = (*cut, last)
                time = given.begin[bounds[0]] + given.enter[order[0]] + given.leave[order[-1]]
                time += sum(
                    given.stage[machine, bounds[at], bounds[at + 1]] for at, machine in enumerate(order)
                )
                time += sum(given.between[a, b] for a, b in pairwise(order))
                best = min(best, time)
    return float(best)


def seconds(found: Way | None) -> float:
    return np.inf if found is None else found.seconds


def check_is_a_way(given: Problem, found: Way) -> None:
    """Its legs join up, use each machine once, and take as long as it says."""
    machines = [leg.machine for leg in found.legs]
    assert len(set(machines)) == len(machines)
    assert found.legs[-1].end == len(given.begin) - 1
    assert all(a.end == b.start for a, b in pairwise(found.legs))
    time = given.begin[found.legs[0].start] + given.enter[machines[0]] + given.leave[machines[-1]]
    time += sum(given.stage[leg.machine, leg.start, leg.end] for leg in found.legs)
    time += sum(given.between[a, b] for a, b in pairwise(machines))
    assert found.seconds == pytest.approx(time, abs=1e-6)


@given(problems())
def test_no_choice_order_or_cut_is_faster_than_what_is_found(given: Problem) -> None:
    found = exact(given)
    assert seconds(found) == pytest.approx(brute(given), abs=1e-6)
    if found is not None:
        check_is_a_way(given, found)
        assert min(found.best_with) == pytest.approx(found.seconds)


@given(problems())
def test_the_beam_finds_the_fastest_way_of_a_small_problem(given: Problem) -> None:
    found = beam(given)
    assert seconds(found) == pytest.approx(brute(given), abs=1e-6)
    if found is not None:
        check_is_a_way(given, found)


def test_the_beam_is_near_the_fastest_way_of_larger_ones() -> None:
    ratios = []
    for seed in range(8):
        given = scattered(8, 20, seed)
        best, near = exact(given), beam(given)
        assert best is not None
        assert near is not None
        check_is_a_way(given, near)
        ratios.append(near.seconds / best.seconds)
    assert min(ratios) > 1 - 1e-9
    assert max(ratios) < 1.25
    assert sum(ratios) / len(ratios) < 1.05


def test_what_the_beam_found_is_searched_again_where_that_can_be_afforded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = scattered(8, 20, seed=1)
    monkeypatch.setattr(search, "MOST_EXACT", 8 * 21**2 << 7)
    best, near, found = exact(given), beam(given), fastest(given)
    assert best is not None
    assert near is not None
    assert found is not None
    check_is_a_way(given, found)
    assert best.seconds - 1e-9 <= found.seconds <= near.seconds


def scattered(count: int, layers: int, seed: int) -> Problem:
    """Machines of very different sizes and speeds, of which most are needed."""
    rng = np.random.default_rng(seed)
    capacity = [int(one) for one in rng.integers(1, 2 + 3 * layers // count, count)]
    between = rng.uniform(0.001, 0.05, (count, count))
    speed = [float(one) for one in rng.uniform(0.001, 0.02, count)]
    return problem(capacity, speed, between, layers + 1, [0.0, 0.01])


def test_of_two_ways_as_fast_the_one_of_fewer_hops_wins() -> None:
    given = problem([4, 2, 2], [0.1, 0.1, 0.1], np.zeros((3, 3)), 5, [0.0])
    for found in (exact(given), beam(given)):
        assert found is not None
        assert [leg.machine for leg in found.legs] == [0]


def test_what_a_plan_would_take_with_another_machine_is_known() -> None:
    given = problem([4, 4], [0.1, 0.5], np.zeros((2, 2)), 5, [0.0])
    found = exact(given)
    assert found is not None
    assert found.best_with == pytest.approx((0.4, 0.1 * 3 + 0.5), abs=1e-6)


def test_machines_that_cannot_hold_all_of_it_have_no_way() -> None:
    given = problem([2, 1], [0.1, 0.1], np.zeros((2, 2)), 5, [0.0])
    assert exact(given) is beam(given) is fastest(given) is None
    assert fastest(problem([], [], np.zeros((0, 0)), 5, [0.0])) is None


def test_many_machines_are_planned_for_in_a_moment() -> None:
    given = scattered(40, 80, seed=3)
    started = perf_counter()
    found = fastest(given)
    assert found is not None
    check_is_a_way(given, found)
    assert perf_counter() - started < 10
