"""How much of a link's stream is read at once, and when nothing is: a limit's turn has not come, or much still waits.

A message may take ten bytes, so that one full read may bring tens of thousands, and each costs whoever answers it. Who
sends such crowds is read in small bites until they end; others have their turn in between.
"""

from __future__ import annotations

import asyncio
from typing import Final

from node.transport.pace import Gate
from node.transport.sockets import read_ahead

READ_BUFFER_BYTES: Final = 256 * 1024
BITE_BYTES: Final = 4 * 1024
"""Read at once of who sends crowds."""
CROWD_MESSAGES: Final = 256
"""One read that brings more is a crowd."""


class Reading:
    """Reads of one link. The link says what each has brought, and when it has too much to go on."""

    def __init__(self, gate: Gate | None) -> None:
        """
        Args:
            gate: limits what all links read together.
        """
        self._gate = gate
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._most_bytes = READ_BUFFER_BYTES
        self._window_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._waits_for_turn = self._behind = self._paused = False

    def begin(self, transport: asyncio.Transport) -> None:
        """The link is connected."""
        self._transport = transport
        self._follow_window()

    def end(self) -> None:
        """Nothing is read any more."""
        self._transport = None
        if self._gate is not None:
            self._gate.leave(self._turn)

    def space(self) -> memoryview:
        """Where the next read goes."""
        self._follow_window()
        most = self._most_bytes
        if self._gate is not None and self._gate.limited:
            most = min(most, self._gate.quantum_bytes)
        return self._buffer[:most]

    def filled(self, nbytes: int) -> memoryview:
        """The read that has just ended."""
        return self._buffer[:nbytes]

    def count(self, nbytes: int, messages: int) -> None:
        """A read has brought so many bytes and messages; what it brought has been taken."""
        if messages > CROWD_MESSAGES:
            self._most_bytes = BITE_BYTES
        elif self._most_bytes < READ_BUFFER_BYTES:
            self._most_bytes *= 2
        gate = self._gate
        if gate is None or not gate.limited:
            return
        gate.spend(nbytes)
        # Who sends little goes first.
        if self._transport is not None and not gate.may(self._turn, urgent=nbytes < gate.quantum_bytes):
            self._waits_for_turn = True
            self._apply()

    def hold(self, behind: bool) -> None:
        """Read nothing while the link is behind with what was read."""
        self._behind = behind
        self._apply()

    def _turn(self) -> None:
        self._waits_for_turn = False
        self._apply()

    def _apply(self) -> None:
        transport, paused = self._transport, self._waits_for_turn or self._behind
        if transport is None or transport.is_closing() or paused == self._paused:
            return
        self._paused = paused
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _follow_window(self) -> None:
        """Have the kernel read no further ahead than the limit has it, which may come, change and go."""
        gate = self._gate
        if gate is None or self._transport is None or not (gate.limited or self._window_bytes):
            return
        if gate.window_bytes != self._window_bytes:
            self._window_bytes = gate.window_bytes
            read_ahead(self._transport, gate.window_bytes)
