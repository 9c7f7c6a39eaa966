"""Requests under way and what becomes of them. No sockets, no clock: datagrams and the time go in, datagrams come out.

A request is sent, counts as slow when the others answer faster than that, is then sent once more, and is lost when
nothing came for long. An answer counts only from the address that was asked, with the transaction drawn for it, signed
by the key of the node that was meant.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from node.dht.places import Scope, scope_of
from wire import limits
from wire.datagrams import Head, read_answer, write_request
from wire.dht_messages import Answer, Request
from wire.endpoints import NodeId, node_id_of
from wire.errors import BadMessage
from wire.types import Address

FIRST_SLOW_S: Final = 0.25
"""What counts as slow before anything was measured."""
_GAIN: Final = 1 / 8
_SPREAD_GAIN: Final = 1 / 4


class Failure(Enum):
    """Why there is no answer."""

    LOST = "no answer"
    IMPOSTOR = "another node answers there"
    FORGED = "the answer was not signed by its sender"
    CLOSED = "this node has stopped"
    BUSY = "too many requests are under way"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, who signed it, and how long it took."""

    public_key: bytes
    answer: Answer
    took_s: float

    @property
    def node(self) -> NodeId:
        return node_id_of(self.public_key)


@dataclass(slots=True, eq=False)
class Ask:
    """One request, and who waits for its answer."""

    request: Request
    address: Address
    node: NodeId | None
    """Who is meant; none when whoever answers there is welcome."""
    done: Callable[[Reply | Failure], None]
    """Called once, with the answer or why there is none."""
    slow: Callable[[], None] = field(default=lambda: None)
    """Called when an answer is overdue, before it is known whether it will come."""
    started_at: float = field(default=0.0, init=False)
    data: bytes = field(default=b"", init=False)
    overdue: bool = field(default=False, init=False)


class Pace:
    """How long answers take: smoothed mean and deviation (RFC 6298 §2), apart for machine, local network and world."""

    def __init__(self) -> None:
        self._measured: dict[Scope, tuple[float, float]] = {}

    def note(self, ip: str, took_s: float) -> None:
        """An answer came."""
        old = self._measured.get(scope_of(ip))
        if old is None:
            self._measured[scope_of(ip)] = (took_s, took_s / 2)
            return
        mean, spread = old
        spread += _SPREAD_GAIN * (abs(took_s - mean) - spread)
        self._measured[scope_of(ip)] = (mean + _GAIN * (took_s - mean), spread)

    def slow_after_s(self, ip: str) -> float:
        """After how long an answer from there is overdue."""
        measured = self._measured.get(scope_of(ip))
        if measured is None:
            return FIRST_SLOW_S
        mean, spread = measured
        return min(limits.SLOW_MOST_S, max(limits.SLOW_LEAST_S, mean + 4 * spread))


class Exchange:
    """All requests of one node under way."""

    def __init__(self, tag: bytes, random: Callable[[int], bytes]) -> None:
        """`tag` names the network; `random` gives that many random bytes."""
        self._tag = tag
        self._random = random
        self._pending: dict[bytes, Ask] = {}
        self._timers: list[tuple[float, bytes]] = []
        self._out: list[tuple[bytes, Address]] = []
        self.pace = Pace()
        self.counts: Counter[str] = Counter()

    def ask(self, ask: Ask, now: float) -> None:
        """Send a request. Its `done` is called later, or at once when too many are under way."""
        if len(self._pending) >= limits.MAX_OUTSTANDING:
            ask.done(Failure.BUSY)
            return
        transaction = self._random(limits.TRANSACTION_BYTES)
        ask.started_at = now
        ask.data = write_request(ask.request, tag=self._tag, transaction=transaction)
        self._pending[transaction] = ask
        self._out.append((ask.data, ask.address))
        self.counts["requests"] += 1
        heapq.heappush(self._timers, (now + self.pace.slow_after_s(ask.address.ip), transaction))

    def receive(self, data: bytes, head: Head, source: Address, now: float) -> Reply | None:
        """Take a datagram that says it is an answer; return it if it is one that was asked for.

        Raises `BadMessage` for one that was asked for and is none.
        """
        ask = self._pending.get(head.transaction)
        if ask is None or ask.address != source:
            self.counts["unasked"] += 1
            return None
        try:
            public_key, answer = read_answer(data, head)
        except BadMessage:
            self._end(head.transaction, Failure.FORGED)
            raise
        reply = Reply(public_key, answer, now - ask.started_at)
        if not ask.overdue:
            # Which of two sendings was answered late is unknown (Karn's algorithm).
            self.pace.note(source.ip, reply.took_s)
        wrong = ask.node is not None and ask.node != reply.node
        self._end(head.transaction, Failure.IMPOSTOR if wrong else reply)
        return reply

    def on_time(self, now: float) -> None:
        """Act on what is overdue."""
        while self._timers and self._timers[0][0] <= now:
            _, transaction = heapq.heappop(self._timers)
            ask = self._pending.get(transaction)
            if ask is None:
                continue
            if ask.overdue:
                self.counts["lost"] += 1
                self._end(transaction, Failure.LOST)
                continue
            ask.overdue = True
            self._out.append((ask.data, ask.address))
            self.counts["repeats"] += 1
            heapq.heappush(self._timers, (ask.started_at + limits.LOST_AFTER_S, transaction))
            ask.slow()

    def next_timeout(self) -> float | None:
        """When `on_time` has something to do next."""
        while self._timers and self._timers[0][1] not in self._pending:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Hand over what is to be sent."""
        out, self._out = self._out, []
        return out

    def close(self) -> None:
        """End all requests without an answer."""
        for transaction in list(self._pending):
            self._end(transaction, Failure.CLOSED)

    def _end(self, transaction: bytes, result: Reply | Failure) -> None:
        self._pending.pop(transaction).done(result)
