"""Whether a host should leave its slice for another: only when no gap opens, and only when enough is gained.

Hosts decide alone, on views that may be one round old, and must not leave the same layer together. Two rules do it.
Moves begin in even rounds only, so that a view of the round before shows where everybody is. And in each round the
peers that serve a layer are ranked by a draw that all can repeat: a host may leave a layer only if it is the lowest of
those it sees there, and sees enough others. Then the highest-ranked host of a layer never leaves it: to go it would
have to see a higher one. That holds whoever else sees whom, so long as those who are seen are still there.

Rejected: agreeing on who moves, which takes as many messages as hosts and fails with any of them; leaving at random
times, which only makes the gap rare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.planning.coverage import Coverage, units
from node.planning.gap import Choice, Heard, Joining, choose_slice, coverage, drawn, serving
from wire.messages.hosting import Offer

ROUND_S: Final = 120.0
"""A round. What a host serves must reach the others within one, and their clocks must agree to half of one."""
STAY_ROUNDS: Final = 4
"""Rounds that a host stays where it is, at the least: a slice takes minutes to fetch and load."""
LEAST_GAIN: Final = 0.1
"""Of what the swarm lacks, the part that a move must mend; less is not worth the fetching."""
MARGIN: Final = 2
"""Other hosts that every layer left must have, for a move that fills no gap; one is enough for one that does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Leave for another slice."""

    choice: Choice
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Stay."""

    reason: str


def round_of(now_s: float) -> int:
    """The round of a time in seconds since 1970, the same on all hosts."""
    return int(now_s // ROUND_S)


def should_move(
    joining: Joining, current: Choice, heard: Iterable[Heard], *, number: int, since: int
) -> Move | Stay:
    """Whether to leave `current` now, and for what.

    Args:
        heard: what all peers are heard to serve, at most a round ago; what this host itself serves does not count.
        number: of the round.
        since: the round in which `current` was begun.
    """
    if number % 2:
        return Stay(reason="moves begin in even rounds")
    if number - since < STAY_ROUNDS:
        return Stay(reason="it came here a short while ago")
    others = [one for one in heard if one.peer != joining.me]
    kept = (current.dtype, current.weights)
    offers, mine = serving(joining, others, kept), rank(joining.me, number)
    # All of its layers, also those it would have again: while it loads it serves nothing.
    beside = {
        unit: [peer for peer, offered in offers.items() if _serves(offered, unit)]
        for unit in units(current.layers, joining.shape.num_layers)
    }
    if any(rank(peer, number) < mine for peers in beside.values() for peer in peers):
        return Stay(reason="another host of its layers may move first")
    fewest = min(beside, key=lambda unit: len(beside[unit]))
    if not beside[fewest]:
        return Stay(reason=f"no other host has {_named(fewest, joining)}")
    choice = choose_slice(joining, others)
    if not isinstance(choice, Choice) or choice.layers == current.layers:
        return Stay(reason="nowhere is it needed more")
    if (choice.dtype, choice.weights) != kept:
        return Stay(reason="other hosts came to compute in other numerics, which needs a restart")
    without = coverage(joining, others, kept)
    now, then = without.joined_by(current.layers), without.joined_by(choice.layers)
    fills = then.uncovered < now.uncovered
    if then.uncovered > now.uncovered or not (fills or _gain(now, then) >= LEAST_GAIN):
        return Stay(reason="too little would be gained")
    if not fills and len(beside[fewest]) < MARGIN:
        return Stay(reason=f"only one other host has {_named(fewest, joining)}")
    return Move(choice=choice, reason=f"{choice.reason}; its layers {current.layers} have others")


def rank(peer: PeerId, number: int) -> bytes:
    """A peer's place among the hosts of its layers in one round; the lowest may leave."""
    return drawn(b"round", peer, number.to_bytes(8, "big"))


def _named(unit: int, joining: Joining) -> str:
    return "the head" if unit == joining.shape.num_layers else f"layer {unit}"


def _gain(now: Coverage, then: Coverage) -> float:
    """The part of what is lacking that a move mends."""
    return 1 - then.thinness / now.thinness


def _serves(offers: Iterable[Offer], unit: int) -> bool:
    return any(
        unit in units(one.layers, one.num_layers) and (unit < one.num_layers or one.head) for one in offers
    )
