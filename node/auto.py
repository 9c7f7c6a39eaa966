"""A host that chooses its own slice: settles where the swarm lacks most, and moves when that helps and opens no gap.

It acts through what it is given: hearing peers, loading, unloading and the clock are the daemon's. The decisions are
`planning.gap` and `planning.moving`; here is when they are taken, and what is done when something fails half way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from node.errors import NodeError
from node.planning.gap import Choice, Heard, Joining, Unfit, choose_slice, drawn
from node.planning.moving import ROUND_S, Move, Stay, round_of, should_move
from node.slices.errors import SliceError

HEAR_TIMEOUT_S: Final = 30.0
"""How long peers are listened to before a decision is taken on what was heard."""
_SPREAD: Final = 0.5
"""Of an even round the part in which hosts decide, each at a time of its own; the rest is for clocks that differ."""


class NothingFits(NodeError):
    """This machine can serve no slice of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What a host that chooses can do; given by the daemon."""

    hear: Callable[[], Awaitable[Sequence[Heard]]]
    """Ask peers what they serve. What comes must not be older than a round."""
    load: Callable[[Choice], Awaitable[None]]
    """Load a slice and offer it. Raises `NodeError` or `SliceError`."""
    unload: Callable[[Choice], Awaitable[None]]
    """Stop offering a slice at once, let its sessions end, and free its memory."""
    clock: Callable[[], float]
    """Seconds since 1970: rounds are the same on all hosts."""
    settled: Callable[[], str | None] = lambda: None
    """Why no other layers are to be chosen now, whatever would help; None when they may be."""


class AutoHost:
    """Chooses and changes the slice of one process."""

    def __init__(self, joining: Joining, hands: Hands) -> None:
        self._joining = joining
        self._hands = hands
        self._since = 0
        self.current: Choice | None = None
        """What is served; None before `settle`, and while a slice is changed for another."""

    async def settle(self) -> Choice:
        """Choose a slice and load it; returns it.

        Raises:
            NothingFits: this machine can serve none.
            NodeError or SliceError: it could not be loaded.
        """
        choice = choose_slice(self._joining, await self._heard() or ())
        if isinstance(choice, Unfit):
            raise NothingFits(choice.reason, "give it more memory, or fewer bits with --weights")
        await self._load(choice)
        return choice

    async def consider(self) -> Move | Stay:
        """Decide once, and act on it; returns what was decided.

        Raises:
            NodeError or SliceError: neither the new slice nor the old one could be loaded; nothing is served now.
        """
        current = self.current
        if current is None:
            return Stay(reason="nothing is served")
        why = self._hands.settled()
        if why is not None:
            return Stay(reason=why)
        heard = await self._heard()
        if heard is None:
            return Stay(reason="no peer could be heard")
        # The round of now and not of when hearing began: a decision that took too long is not taken.
        decided = should_move(
            self._joining, current, heard, number=round_of(self._hands.clock()), since=self._since
        )
        if isinstance(decided, Stay):
            return decided
        self.current = None
        await self._hands.unload(current)
        try:
            await self._load(decided.choice)
        except (NodeError, SliceError) as error:
            await self._load(current)
            return Stay(reason=f"layers {decided.choice.layers} could not be loaded ({error})")
        return decided

    async def run(self, stop: asyncio.Event, told: Callable[[Move | Stay], None]) -> None:
        """Settle where nothing is served yet, then decide in every round that is for it, until `stop` is set.

        Args:
            told: hears of each decision.

        Raises: as `settle` and `consider` do.
        """
        if self.current is None:
            await self.settle()
        while not stop.is_set():
            try:
                async with asyncio.timeout(self.due_s()):
                    await stop.wait()
            except TimeoutError:
                told(await self.consider())

    def due_s(self) -> float:
        """Seconds until the next decision: in the first half of the next even round, when this host's turn is."""
        now = self._hands.clock()
        turn = int.from_bytes(drawn(b"turn", self._joining.me, b"")[:4], "big") / (1 << 32)
        start = round_of(now) // 2 * 2 * ROUND_S + turn * _SPREAD * ROUND_S
        return start - now if start > now else start + 2 * ROUND_S - now

    async def _heard(self) -> Sequence[Heard] | None:
        """What peers serve; None when that could not be found out."""
        try:
            async with asyncio.timeout(HEAR_TIMEOUT_S):
                return await self._hands.hear()
        except (TimeoutError, NodeError):
            return None

    async def _load(self, choice: Choice) -> None:
        await self._hands.load(choice)
        self.current = choice
        self._since = round_of(self._hands.clock())
