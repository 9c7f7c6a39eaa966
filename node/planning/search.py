"""The fastest way through some machines, each of which takes one stretch of the layers: numbers in, numbers out.

The order of machines matters, since links differ, and so does which are left out. `exact` looks at all of that: for
every set of machines, last machine and boundary reached it keeps the least time (Held and Karp's dynamic programme,
with a boundary beside the city). That is a table of 2^n; beyond a dozen machines `beam` keeps the best few ways to
each boundary, and half as many that waste the least memory, so that it does not run out of machines near the end;
what it found is then searched exactly, with a few quick machines beside its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_EXACT: Final = 1_000_000_000
"""Sums that an exact search may take: 12 machines and a model of 140 layers, a second or two."""
_BEAM_SUMS: Final = 200_000_000
_MOST_WIDTH: Final = 48
_LEAST_WIDTH: Final = 4
_MOST_POLISHED: Final = 10
_FEWER_HOPS_S: Final = 1e-9
"""Added for each hop, so that of two ways as fast the one of fewer hops wins."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Machines `m` and boundaries `b`, in seconds; infinity for what is not possible."""

    begin: Floats
    """`[b]`: the client's time until boundary `b`."""
    enter: Floats
    """`[m]`: from the client to a machine."""
    between: Floats
    """`[m, m]`: from one machine to another."""
    leave: Floats
    """`[m]`: from a machine back to the client, and what that does then."""
    stage: Floats
    """`[m, b, b]`: a machine's time from one boundary to another."""

    @property
    def num_machines(self) -> int:
        """How many there are."""
        return len(self.enter)


@dataclass(frozen=True, slots=True)
class Leg:
    """One machine and the boundaries between which it computes, by their numbers."""

    machine: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way from the client to the last boundary and back."""

    seconds: float
    legs: tuple[Leg, ...]
    best_with: tuple[float, ...]
    """The least seconds of any way that uses each machine; empty where that is not known."""


def fastest(problem: Problem) -> Way | None:
    """The fastest way, exact where that can be afforded; None when there is none."""
    count, boundaries = problem.num_machines, len(problem.begin)
    if not count:
        return None
    if _is_small(count, boundaries):
        return exact(problem)
    found = beam(problem)
    return None if found is None else _polished(problem, found)


def exact(problem: Problem) -> Way | None:
    """The fastest way of all; None when there is none."""
    count, boundaries = problem.num_machines, len(problem.begin)
    stage = problem.stage + _FEWER_HOPS_S
    best = np.full((1 << count, count, boundaries), np.inf)
    for machine in range(count):
        start = problem.begin + problem.enter[machine]
        best[1 << machine, machine] = (start[:, None] + stage[machine]).min(axis=0)
    for used in range(1, 1 << count):
        others = [one for one in range(count) if not used >> one & 1]
        if not others or not np.isfinite(best[used]).any():
            continue
        arrive = _arrivals(problem, best[used])[others]
        reached = (arrive[:, :, None] + stage[others]).min(axis=1)
        for machine, times in zip(others, reached, strict=True):
            best[used | 1 << machine, machine] = times
    ends = best[:, :, -1] + problem.leave
    used, machine = (int(one) for one in np.unravel_index(int(ends.argmin()), ends.shape))
    seconds = float(ends[used, machine])
    if not np.isfinite(seconds):
        return None
    sets = np.arange(1 << count)
    best_with = tuple(float(ends[(sets >> one & 1) == 1].min()) for one in range(count))
    legs: list[Leg] = []
    end = boundaries - 1
    while used:
        rest = used & ~(1 << machine)
        arrive = _arrivals(problem, best[rest])[machine] if rest else problem.begin + problem.enter[machine]
        start = int((arrive + stage[machine, :, end]).argmin())
        legs.append(Leg(machine, start, end))
        if rest:
            machine = int((best[rest, :, start] + problem.between[:, machine]).argmin())
        used, end = rest, start
    return Way(seconds=seconds, legs=tuple(reversed(legs)), best_with=best_with)


def _is_small(count: int, boundaries: int) -> bool:
    return count * boundaries**2 << count <= MOST_EXACT


def _polished(problem: Problem, found: Way) -> Way:
    """The fastest way over the machines of `found` and the quickest of the others."""
    boundaries = len(problem.begin)
    spans = np.maximum(1, np.arange(boundaries)[None, :] - np.arange(boundaries)[:, None])
    each = (problem.stage + problem.enter[:, None, None]) / spans
    quickest = [int(one) for one in each.min(axis=(1, 2)).argsort()]
    chosen = [leg.machine for leg in found.legs]
    for machine in [one for one in quickest if one not in chosen][:_MOST_POLISHED]:
        if len(chosen) < _MOST_POLISHED and _is_small(len(chosen) + 1, boundaries):
            chosen.append(machine)
    if not _is_small(len(chosen), boundaries):
        return found
    better = exact(
        Problem(
            begin=problem.begin,
            enter=problem.enter[chosen],
            between=problem.between[np.ix_(chosen, chosen)],
            leave=problem.leave[chosen],
            stage=problem.stage[chosen],
        )
    )
    if better is None or better.seconds >= found.seconds:
        return found
    legs = tuple(Leg(chosen[leg.machine], leg.start, leg.end) for leg in better.legs)
    return Way(seconds=better.seconds, legs=legs, best_with=())


def _arrivals(problem: Problem, times: Floats) -> Floats:
    """`[m, b]`: when each machine could have the states of boundary `b`, from `times` `[m, b]` of the one before."""
    found: Floats = (times[:, None, :] + problem.between[:, :, None]).min(axis=0)
    return found


@dataclass(frozen=True, slots=True)
class _State:
    seconds: float
    waste: float
    """Boundaries that the machines used could have passed, and did not."""
    used: int
    legs: tuple[Leg, ...]


def beam(problem: Problem) -> Way | None:
    """A fast way, not always the fastest; None when none was found."""
    count, boundaries = problem.num_machines, len(problem.begin)
    width = max(_LEAST_WIDTH, min(_MOST_WIDTH, _BEAM_SUMS // (count * boundaries**2)))
    stage = problem.stage + _FEWER_HOPS_S
    spans = np.arange(boundaries)[None, :] - np.arange(boundaries)[:, None]
    reach: Floats = np.where(np.isfinite(stage), spans, 0).max(axis=(1, 2))
    pools: list[list[_State]] = [[] for _ in range(boundaries)]
    for at in range(boundaries):
        if np.isfinite(problem.begin[at]):
            pools[at].append(_State(float(problem.begin[at]), 0.0, 0, ()))
    for at in range(boundaries - 1):
        kept = _kept(pools[at], width)
        pools[at] = []
        if not kept:
            continue
        arrive = np.array([_to_each(problem, one) for one in kept])
        times = (arrive[:, :, None] + stage[None, :, at, :]).reshape(-1, boundaries)
        wastes = np.array([one.waste for one in kept])[:, None, None] + (reach[None, :, None] - spans[at])
        for end in range(at + 1, boundaries):
            column, waste = times[:, end], wastes[:, :, end].reshape(-1)
            for index in _few(column, waste, width):
                before, machine = kept[index // count], index % count
                used = before.used | 1 << machine
                legs = (*before.legs, Leg(machine, at, end))
                pools[end].append(_State(float(column[index]), float(waste[index]), used, legs))
    done = [
        (one.seconds + float(problem.leave[one.legs[-1].machine]), one.legs) for one in pools[-1] if one.legs
    ]
    if not done:
        return None
    seconds, legs = min(done, key=lambda one: one[0])
    return Way(seconds=seconds, legs=legs, best_with=()) if np.isfinite(seconds) else None


def _to_each(problem: Problem, state: _State) -> Floats:
    """`[m]`: when each machine could begin after `state`; infinity where it is used already."""
    last = problem.enter if not state.legs else problem.between[state.legs[-1].machine]
    taken = np.array([state.used >> one & 1 for one in range(problem.num_machines)], dtype=bool)
    return np.where(taken, np.inf, state.seconds + last)


def _few(times: Floats, wastes: Floats, width: int) -> set[int]:
    """The numbers of the fastest possible ones, and of the least wasteful."""
    possible = np.flatnonzero(np.isfinite(times))
    if len(possible) <= width:
        return {int(one) for one in possible}
    half = width // 2
    fast = possible[np.argpartition(times[possible], half)[:half]]
    dense = possible[np.argpartition(wastes[possible], half)[:half]]
    return {int(one) for one in (*fast, *dense)}


def _kept(pool: list[_State], width: int) -> list[_State]:
    """The fastest states of a boundary, and the least wasteful; of those alike but for their order the fastest."""
    unlike: dict[tuple[int, int], _State] = {}
    for one in sorted(pool, key=lambda one: one.seconds):
        unlike.setdefault((one.used, one.legs[-1].machine if one.legs else -1), one)
    fast = list(unlike.values())
    chosen = {id(one): one for one in fast[: width - width // 3]}
    for one in sorted(fast, key=lambda one: (one.waste, one.seconds))[: width // 3]:
        chosen.setdefault(id(one), one)
    return list(chosen.values())
