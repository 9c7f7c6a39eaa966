"""The hands of a host that holds slices of nothing: they do what they are told, and fail when they are asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from node.errors import NodeError
from node.lifecycle.wishes import SliceKey, Wish
from wire.codes import Code


@dataclass(eq=False)
class HeldSlice:
    """A slice in memory."""

    wish: Wish
    announced: bool = False
    refuses: Code | None = None
    sessions: int = 0
    ended_with: Code | None = None


class SliceHands:
    """Loads at once, unless a gate is shut; what no host may be told to do fails."""

    def __init__(self, said: Callable[[str, SliceKey], None] | None = None) -> None:
        """`said` hears of each thing that is done."""
        self._said = said or (lambda what, key: None)
        self.memory: set[HeldSlice] = set()
        """Slices that are in memory, half loaded ones included."""
        self.gates: dict[str, asyncio.Event] = {}
        """What waits until it is let: `load`, `unload`, `abort`."""
        self.failing: dict[str, BaseException] = {}
        """What fails, once."""
        self.waiting: list[str] = []
        """What waits at a gate now."""
        self.deaf = False
        """Whether a load that is given up is done all the same."""

    def of(self, key: SliceKey) -> HeldSlice:
        """The one slice of this key in memory."""
        (held,) = (one for one in self.memory if one.wish.key == key)
        return held

    def announced(self) -> set[SliceKey]:
        """What peers are told of."""
        return {one.wish.key for one in self.memory if one.announced}

    def shut(self, what: str) -> asyncio.Event:
        """Shut a gate; setting it opens it."""
        self.gates[what] = asyncio.Event()
        return self.gates[what]

    async def load(self, wish: Wish, progress: Callable[[float], None]) -> HeldSlice:
        """Take memory, and give it back when the load does not come to its end."""
        held = HeldSlice(wish)
        assert wish.key not in {one.wish.key for one in self.memory}, "nothing is loaded twice"
        self.memory.add(held)
        self._said("load", wish.key)
        try:
            progress(0.5)
            await self._pass("load")
        except asyncio.CancelledError:
            if not self.deaf:
                self.memory.discard(held)
                raise
        except NodeError:
            self.memory.discard(held)
            raise
        return held

    async def unload(self, handle: HeldSlice) -> None:
        """Give memory back."""
        assert handle.sessions == 0 and not handle.announced, "sessions are open"
        await self._pass("unload")
        self.memory.discard(handle)
        self._said("unload", handle.wish.key)

    def offer(self, handle: HeldSlice) -> None:
        """Tell peers."""
        assert handle in self.memory, "what is not loaded is not announced"
        handle.announced, handle.refuses = True, None
        self._said("offer", handle.wish.key)

    def withdraw(self, handle: HeldSlice, code: Code) -> None:
        """Tell peers no more."""
        handle.announced, handle.refuses = False, code
        self._said("withdraw", handle.wish.key)

    def sessions(self, handle: HeldSlice) -> int:
        """Sessions open."""
        return handle.sessions

    async def abort(self, handle: HeldSlice, code: Code) -> int:
        """End the sessions of one slice."""
        await self._pass("abort")
        cut_off, handle.sessions = handle.sessions, 0
        if cut_off:
            handle.ended_with = code
        return cut_off

    async def _pass(self, what: str) -> None:
        await asyncio.sleep(0)
        if what in self.gates:
            self.waiting.append(what)
            try:
                await self.gates[what].wait()
            finally:
                self.waiting.remove(what)
        error = self.failing.pop(what, None)
        if error is not None:
            raise error
