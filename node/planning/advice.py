"""What would help a plan most: a few changes are planned for in earnest, and the one that gains most is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from node.planning import words
from node.planning.errors import NoPlan
from node.planning.machines import Fleet, Link, Machine
from node.planning.partition import Ask, Plan, Stage, plan
from node.planning.shape import ModelShape

LEAST_GAIN: Final = 1.05
"""A change that makes a plan less than so much faster is not worth a sentence; the estimate errs by more."""
_NEAR_MS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One change, and the estimate with it."""

    change: str
    tokens_per_s: float


def advise(shape: ModelShape, fleet: Fleet, ask: Ask, found: Plan) -> Advice | None:
    """The change that would help most, of those that were tried; None where none is worth it."""
    same = replace(ask, weights=found.weights)
    best: Advice | None = None
    for change, changed in _changes(fleet, found):
        try:
            rate = plan(shape, changed, same).tokens_per_s
        except NoPlan:
            continue
        if rate >= LEAST_GAIN * (found if best is None else best).tokens_per_s:
            best = Advice(change=change, tokens_per_s=rate)
    return best


def _changes(fleet: Fleet, found: Plan) -> Iterator[tuple[str, Fleet]]:
    """What could be changed, in words, and the machines after it."""
    if not found.stages:
        return
    everyone = (fleet.client, *fleet.hosts)
    fastest = max(everyone, key=lambda one: one.bandwidth)
    whole = sum(stage.memory_bytes for stage in (found.client, *found.stages))
    if fastest.memory < whole:
        more = words.gb(whole - fastest.memory)
        yield f"{more} more memory in {fastest.name}", _with(fleet, replace(fastest, memory=whole))
    slowest = max((found.client, *found.stages), key=_slowness).machine
    if slowest.bandwidth < fastest.bandwidth:
        quick = replace(slowest, bandwidth=fastest.bandwidth)
        change = f"memory as fast as {fastest.name}'s ({fastest.bandwidth:g} GB/s) in {slowest.name}"
        yield change, _with(fleet, quick)
    if found.links_s > 0:
        near = {
            pair: replace(link, latency_ms=min(_NEAR_MS, link.latency_ms))
            for pair, link in fleet.links.items()
        }
        usual = Link(latency_ms=min(_NEAR_MS, fleet.usual.latency_ms), rate=fleet.usual.rate)
        change = f"links of {_NEAR_MS:g} ms, as machines in one building have"
        yield change, replace(fleet, links=near, usual=usual)


def _slowness(stage: Stage) -> float:
    return stage.compute_s / max(1, len(stage.layers))


def _with(fleet: Fleet, changed: Machine) -> Fleet:
    """The fleet with one machine, known by its name, as it would be."""
    if changed.name == fleet.client.name:
        return replace(fleet, client=changed)
    return replace(fleet, hosts=tuple(changed if one.name == changed.name else one for one in fleet.hosts))
