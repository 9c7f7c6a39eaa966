"""Room for so many bytes in memory; who finds none waits, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """A bound on bytes held at once. What is larger than all of it enters when the room is empty."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken_bytes(self) -> int:
        """What is in it."""
        return self._taken

    async def enter(self, nbytes: int) -> None:
        """Take room, and wait until there is some."""
        if not self._waiters and self._fits(nbytes):
            self._taken += nbytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((nbytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The room was given in the moment of the cancellation.
                self.leave(nbytes)
            else:
                self._waiters.remove((nbytes, turn))
                self._let_in()
            raise

    def leave(self, nbytes: int) -> None:
        """Give room back."""
        self._taken -= nbytes
        self._let_in()

    def _fits(self, nbytes: int) -> bool:
        return self._taken == 0 or self._taken + nbytes <= self._most

    def _let_in(self) -> None:
        while self._waiters and self._fits(self._waiters[0][0]):
            nbytes, turn = self._waiters.popleft()
            self._taken += nbytes
            turn.set_result(None)
