"""One end of a circuit: how much may be sent before the other end has taken it. Pure bytes and counts.

Each end starts with a credit of `RELAY_WINDOW_BYTES` and gets back what the other end says it has taken. So what a
relay holds of a circuit is bounded by what the ends agree on, and a reader that stops stops its writer, not the relay.
Spec: `specs/reachability.md` §Circuits.
"""

from __future__ import annotations

from collections import deque

from wire import limits
from wire.errors import BadMessage

_TELL_BYTES = limits.RELAY_WINDOW_BYTES // 4
"""What has been taken is told in steps of this."""


class Flow:
    """What waits to be sent into a circuit, and what was received from it."""

    def __init__(self) -> None:
        self.pending_bytes = 0
        """Bytes that wait for credit."""
        self._queue: deque[memoryview] = deque()
        self._credit = limits.RELAY_WINDOW_BYTES
        self._allowed = limits.RELAY_WINDOW_BYTES
        self._untold = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes; they must not change until they have left."""
        if len(data):
            self._queue.append(memoryview(data).cast("B"))
            self.pending_bytes += len(data)

    def pieces(self) -> list[memoryview]:
        """Return what may leave now, each at most `RELAY_DATA_BYTES`."""
        leaving = []
        while self._queue and self._credit:
            first = self._queue.popleft()
            piece = first[: min(self._credit, limits.RELAY_DATA_BYTES)]
            if len(piece) < len(first):
                self._queue.appendleft(first[len(piece) :])
            self._credit -= len(piece)
            self.pending_bytes -= len(piece)
            leaving.append(piece)
        return leaving

    def on_credit(self, taken: int) -> None:
        """The other end has taken bytes. Raises `BadMessage` for more than it was sent."""
        if self._credit + taken > limits.RELAY_WINDOW_BYTES:
            raise BadMessage("credit for bytes that were never sent")
        self._credit += taken

    def on_data(self, size: int) -> int:
        """Bytes arrived and are taken; return how many to tell the other end of, 0 for none yet.

        Raises:
            BadMessage: more than it had credit for, or none at all.
        """
        if not 0 < size <= min(self._allowed, limits.RELAY_DATA_BYTES):
            raise BadMessage("more data in a circuit than its credit, or none")
        self._allowed -= size
        self._untold += size
        if self._untold < _TELL_BYTES:
            return 0
        told, self._untold = self._untold, 0
        self._allowed += told
        return told
