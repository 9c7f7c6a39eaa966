"""A host whose slices a keeper keeps, over hands that hold nothing; its processes come one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.deadline import until
from tests.fakes.slice_hands import HeldSlice, SliceHands
from wire.types import LayerRange

GRACE_S = 300.0
HERE = Wish(key=SliceKey("pocket", LayerRange(0, 6)))
THERE = Wish(key=SliceKey("pocket", LayerRange(6, 12)))


class Host:
    """One process after the other, on one disk."""

    def __init__(self, folder: Path) -> None:
        """The disk is a folder."""
        self.path = folder / "intents.json"
        self.hands = SliceHands()

    @asynccontextmanager
    async def process(self, *configured: Wish) -> AsyncIterator[Keeper[HeldSlice]]:
        """A process, which ends without being told to, as a killed one does but for its memory."""
        self.hands = SliceHands()
        async with Keeper(self.hands, IntentFile(self.path)) as keeper:
            await keeper.recover(configured)
            yield keeper
        assert not self.hands.memory, "nothing is left in memory"

    async def served(self, *wishes: Wish) -> None:
        """Wait until these are announced, and no others."""
        await until(lambda: self.hands.announced() == {one.key for one in wishes})


async def joined(keeper: Keeper[HeldSlice], wish: Wish) -> list[State]:
    """Join a slice; the states it went through."""
    return [state for state, _ in groupby([status.state async for status in keeper.join(wish)])]


def state(keeper: Keeper[HeldSlice], wish: Wish) -> State:
    """Where a slice is."""
    (status,) = (one for one in keeper.status() if one.wish.key == wish.key)
    return status.state
