"""Thirty hosts that choose for themselves, on views a round old: the swarm becomes whole, stays so, and evens out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from node.planning.cost import PROCESS_BYTES
from node.planning.coverage import Coverage
from node.planning.gap import Choice, Heard, Joining, choose_slice, coverage
from node.planning.moving import Move, should_move
from tests.fakes.heard import NATIVE, joining, of_choice
from tests.fakes.shapes import MB, shape

COUNT = 24
MODEL = shape(COUNT, 10, head_mb=10)


@dataclass
class Swarm:
    """Hosts by number, where each is, and what was told a round ago."""

    random: random.Random
    sizes: dict[int, int] = field(default_factory=dict)
    """Layers that each has memory for."""
    placed: dict[int, Choice] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    round: int = 100
    before: list[Heard] = field(default_factory=list)
    moves: int = 0

    def join(self, number: int, view: Sequence[Heard]) -> None:
        self.sizes.setdefault(number, self.random.randint(2, 10))
        found = choose_slice(self.joining(number), view)
        assert isinstance(found, Choice)
        self.placed[number], self.since[number] = found, self.round

    def die(self, number: int) -> None:
        del self.placed[number]

    def joining(self, number: int) -> Joining:
        return joining(number, MODEL, PROCESS_BYTES + self.sizes[number] * 10 * MB)

    def view(self) -> list[Heard]:
        return [of_choice(number, choice, COUNT) for number, choice in self.placed.items()]

    def covered(self) -> Coverage:
        return coverage(joining("nobody", MODEL, 1), self.view(), NATIVE)

    def advance(self) -> None:
        """One round: every host decides on what it saw a round ago, or sees now, and all move at once."""
        now = self.view()
        moving: dict[int, Choice] = {}
        for number, current in self.placed.items():
            seen = self.before if self.random.random() < 0.5 else now
            decided = should_move(
                self.joining(number), current, seen, number=self.round, since=self.since[number]
            )
            if isinstance(decided, Move):
                moving[number] = decided.choice
        staying = [of_choice(n, choice, COUNT) for n, choice in self.placed.items() if n not in moving]
        while_loading = coverage(joining("nobody", MODEL, 1), staying, NATIVE)
        was = self.covered()
        # What a move could open is what somebody served before; a dead host that is still heard is no move's doing.
        self.opened = [
            unit for unit, hosts in enumerate(was.hosts) if hosts and not while_loading.hosts[unit]
        ]
        self.before = now
        self.moves += len(moving)
        for number, choice in moving.items():
            self.placed[number], self.since[number] = choice, self.round
        self.round += 1

    opened: list[int] = field(default_factory=list)


@pytest.mark.parametrize("seed", range(3))
def test_hosts_that_come_one_after_another_make_the_model_whole_as_soon_as_their_memory_suffices(
    seed: int,
) -> None:
    swarm = Swarm(random.Random(seed))
    held = 0
    for number in range(30):
        swarm.join(number, swarm.view())
        held += swarm.sizes[number]
        if held >= COUNT + 1:
            assert swarm.covered().uncovered == 0
    hosts = swarm.covered().hosts
    assert min(hosts) >= 0.6 * sum(hosts) / len(hosts)


@pytest.mark.parametrize("seed", range(3))
def test_hosts_that_all_come_at_once_spread_out_and_no_move_ever_opens_a_gap(seed: int) -> None:
    swarm = Swarm(random.Random(seed))
    for number in range(30):
        swarm.join(number, [])
    assert swarm.covered().uncovered > 0
    for _ in range(40):
        swarm.advance()
        assert not swarm.opened
    hosts = swarm.covered().hosts
    assert min(hosts) >= 0.5 * sum(hosts) / len(hosts)
    moved = swarm.moves
    for _ in range(20):
        swarm.advance()
    assert swarm.moves - moved <= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_swarm_that_loses_hosts_is_whole_again_and_moves_alone_open_nothing(seed: int) -> None:
    swarm = Swarm(random.Random(seed))
    for number in range(30):
        swarm.join(number, swarm.view())
    for _ in range(8):
        for number in swarm.random.sample(sorted(swarm.placed), 2):
            swarm.die(number)
        # What is dead is heard of for one round more, in which nobody moves.
        swarm.round += swarm.round % 2 == 0
        swarm.advance()
        for _ in range(5):
            swarm.advance()
            assert not swarm.opened
        swarm.join(100 + swarm.round, swarm.view())
    for _ in range(30):
        swarm.advance()
        assert not swarm.opened
    assert sum(swarm.sizes[number] for number in swarm.placed) > COUNT + 1
    assert swarm.covered().uncovered == 0
