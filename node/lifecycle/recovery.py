"""What a host that has just started is to do, from its configuration and what was asked of it before. Pure.

| configuration | asked | then |
|---|---|---|
| names it | nothing | loaded |
| names it, or not | held, by a command | loaded, paused if it was |
| names it, or not | drained | stopped, until it is undrained |
| names it | left | not loaded, until it is joined |
| does not name it | anything, but never joined by a command | forgotten: it was taken out on purpose |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from node.lifecycle.errors import IntentsDamaged
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.wishes import SliceKey, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a start found."""

    load: tuple[Wish, ...]
    """Slices to load, those of the configuration first."""
    drained: tuple[Wish, ...]
    """Slices that stay stopped until they are undrained."""
    left: tuple[Wish, ...]
    """Slices that the configuration names and that stay left until they are joined."""
    trouble: IntentsDamaged | None = None
    """Why everything counts as drained."""


def merged(configured: Sequence[Wish], asked: Iterable[Intent]) -> tuple[Intent, ...]:
    """Return what holds for each slice, in the configuration's order, then in that in which they were joined."""
    before = {one.wish.key: one for one in asked}
    holds: dict[SliceKey, Intent] = {}
    for wish in _once(configured):
        known = before.pop(wish.key, None)
        # The configuration's word on how it is held is the later one, or the same.
        holds[wish.key] = Intent(wish=wish, aim=Aim.HELD) if known is None else replace(known, wish=wish)
    joined = (one for one in before.values() if one.joined and one.aim is not Aim.LEFT)
    return (*holds.values(), *joined)


def all_drained(configured: Sequence[Wish]) -> tuple[Intent, ...]:
    """Return the safe reading of a file that cannot be read: nothing is served until a person says so."""
    return tuple(Intent(wish=one, aim=Aim.DRAINED) for one in _once(configured))


def summed(intents: Sequence[Intent], trouble: IntentsDamaged | None = None) -> Recovery:
    """Return what intents come to."""

    def of(aim: Aim) -> tuple[Wish, ...]:
        return tuple(one.wish for one in intents if one.aim is aim)

    return Recovery(load=of(Aim.HELD), drained=of(Aim.DRAINED), left=of(Aim.LEFT), trouble=trouble)


def _once(wishes: Iterable[Wish]) -> Iterable[Wish]:
    """Each slice as it is named last."""
    return {one.key: one for one in wishes}.values()
