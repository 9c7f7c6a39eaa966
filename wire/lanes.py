"""What waits to be sent: two queues of messages, cut into fragments on demand.

Urgent fragments go first, so a decode step waits for at most the record that is being sent. Two rules keep that
harmless: messages of one session never overtake each other (a small one follows in the bulk lane while a bulk one of
its session still waits), and after a burst of urgent records a bulk message that has waited longer than the urgent
ones has its turn. Bodies are not copied
until they are sent; whoever queues one must not change it afterwards. Spec: `specs/wire.md` §Framing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

from wire import limits
from wire.frames import Lane
from wire.messages.base import Body

_MESSAGE_BYTES: Final = 384
"""What a message that waits takes beyond its own bytes, about; with small ones that is the most of it."""


class _Outgoing:
    """One message on its way out."""

    __slots__ = ("body", "counted", "head", "key", "number", "sent", "size")

    def __init__(self, head: bytes, body: memoryview, key: Hashable, counted: bool, number: int) -> None:
        self.head = head
        self.body = body
        self.key = key
        self.counted = counted
        self.number = number
        self.sent = 0
        self.size = len(head) + len(body)

    def copy_into(self, record: memoryview, at: int) -> int:
        """Write the next bytes to `record[at:]`; return how far it is filled."""
        head_bytes = len(self.head)
        if self.sent < head_bytes:
            part = self.head[self.sent : self.sent + len(record) - at]
            record[at : at + len(part)] = part
            at += len(part)
            self.sent += len(part)
        if self.sent < self.size:
            start = self.sent - head_bytes
            piece = self.body[start : start + len(record) - at]
            record[at : at + len(piece)] = piece
            at += len(piece)
            self.sent += len(piece)
        return at


class Outbox:
    """The send queue of one connection."""

    def __init__(self) -> None:
        self._urgent: deque[_Outgoing] = deque()
        self._bulk: deque[_Outgoing] = deque()
        self._bulk_keys: dict[Hashable, int] = {}
        self._urgent_run = 0
        self._queued = 0
        self.pending_bytes = 0
        """Bytes of messages not yet written into a record."""
        self.completed = 0
        """Counted messages whose last byte has been written into a record."""

    @property
    def held_bytes(self) -> int:
        """The memory that all of it takes, about."""
        return self.pending_bytes + _MESSAGE_BYTES * (len(self._urgent) + len(self._bulk))

    def put(self, head: bytes, body: Body, *, key: Hashable = None, counted: bool = True) -> None:
        """Queue a message.

        Args:
            head: from `message_head`.
            body: its bytes; must not change until they have left.
            key: messages with an equal key keep their order; None has no order to keep.
            counted: whether the peer will acknowledge it.
        """
        message = _Outgoing(head, memoryview(body), key, counted, self._queued)
        self._queued += 1
        self.pending_bytes += message.size
        if message.size <= limits.URGENT_MESSAGE_BYTES and (
            not self._bulk_keys or key not in self._bulk_keys
        ):
            self._urgent.append(message)
            return
        self._bulk.append(message)
        if key is not None:
            self._bulk_keys[key] = self._bulk_keys.get(key, 0) + 1

    def fill(self, record: memoryview) -> int:
        """Write the next record's plaintext to the start of `record`; return its length, 0 when nothing waits."""
        lane, queue = self._next()
        if not queue:
            return 0
        record[0] = lane
        at = 1
        while queue and at < len(record):
            message = queue[0]
            at = message.copy_into(record, at)
            if message.sent == message.size:
                queue.popleft()
                self._leave(message, lane)
                if lane is Lane.BULK and self._urgent:
                    break
        self.pending_bytes -= at - 1
        return at

    def drop_bulk(self) -> None:
        """Forget what waits in the bulk lane: nothing but a goodbye follows."""
        self.pending_bytes -= sum(message.size - message.sent for message in self._bulk)
        self._bulk.clear()
        self._bulk_keys.clear()

    def clear(self) -> None:
        """Forget everything but an urgent message that has begun to leave, without which its lane could not go on."""
        self.drop_bulk()
        while self._urgent and not self._urgent[-1].sent:
            self.pending_bytes -= self._urgent.pop().size

    def _next(self) -> tuple[Lane, deque[_Outgoing]]:
        if not self._urgent:
            self._urgent_run = 0
            return Lane.BULK, self._bulk
        waited = self._urgent_run >= limits.URGENT_BURST_RECORDS
        if waited and self._bulk and self._bulk[0].number < self._urgent[0].number:
            self._urgent_run = 0
            return Lane.BULK, self._bulk
        self._urgent_run += 1
        return Lane.URGENT, self._urgent

    def _leave(self, message: _Outgoing, lane: Lane) -> None:
        self.completed += message.counted
        if lane is Lane.BULK and message.key is not None:
            remaining = self._bulk_keys[message.key] - 1
            if remaining:
                self._bulk_keys[message.key] = remaining
            else:
                del self._bulk_keys[message.key]
