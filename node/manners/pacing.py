"""How fast bytes may leave and arrive, all of this process together: one gate a direction, where all wait their turn.

A gate is a bucket and two queues. What is urgent, a decode step or a ping, goes before bulk, and the last half of the
burst is kept for it: it does not wait behind somebody else's prefill unless urgent bytes alone are too many. Within a
queue everybody gets one quantum in turn, so that who has much to send is no faster than who has little. A turn may
overdraw the bucket by less than what it moves; that is paid back first, so the rate holds.

What leaves asks before. What arrives can only be counted when it is there: a link that read its part is not read again
until its turn has come, the kernel's buffer fills, and TCP slows the peer down. Datagrams are counted and not held
back: there are few of them, and late ones are useless.

A peer takes a link for dead on which its prefill does not move (specs/wire.md §Liveness), and what is in buffers on the
way must pass first. So a limit for what arrives needs some 100 KB/s for each link that brings one at the same time.

Bulk transfers wait with `take`, links ask with `may`; see `node.transport.pace` for that side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from node.manners.bucket import Bucket

Turn = Callable[[], None]


class Timer(Protocol):
    """What was set for later."""

    def cancel(self) -> None:
        """Do not do it."""
        ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Does something once in so many seconds."""

BURST_S: Final = 0.25
"""What may pass at once after a silence, in seconds of the rate."""
QUANTUM_S: Final = 0.02
"""What one turn moves, in seconds of the rate: what is urgent waits for one such turn at most."""
LEAST_QUANTUM_BYTES: Final = 8 * 1024
"""Less would be more records and more wake-ups than bytes."""
MOST_QUANTUM_BYTES: Final = 256 * 1024
WINDOW_S: Final = 0.1
"""Of the rate, may be under way on one link: all of it over a road of 100 ms, and no more in front of a ping."""
LEAST_WINDOW_BYTES: Final = 64 * 1024
"""On one machine a packet has 64 KiB; TCP crawls when a window holds less than one."""
MOST_WINDOW_BYTES: Final = 4 * 1024 * 1024
URGENT_TURNS: Final = 32
"""Urgent turns in a row after which one of bulk has its own, so that a link with a prefill does not pass for dead."""
_LEAST_WAIT_S: Final = 0.001
"""Timers are not finer, and what comes due within one is served together."""
_TURNS_AT_ONCE: Final = 16
"""Served before the loop sees to other things: a millisecond or so of encryption."""


_NEVER: Final = float("inf")
_PAST: Final = float("-inf")


class Gate:
    """One direction. Use it on one loop."""

    def __init__(
        self,
        rate_bytes_per_s: float | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        later: Later | None = None,
    ) -> None:
        """Let so many bytes pass in a second; None for all. `later` is the running loop's unless given."""
        self._clock = clock
        self._later = later
        self._bucket: Bucket | None = None
        # Dictionaries keep their order, and find one that left without a search.
        self._urgent: dict[Turn, None] = {}
        self._bulk: dict[Turn, None] = {}
        self._urgent_run = 0
        self._granted: Turn | None = None
        self._rests_until = _PAST
        self._timer: Timer | None = None
        self._timer_at = _NEVER
        self.quantum_bytes = MOST_QUANTUM_BYTES
        """The most that one turn moves."""
        self.window_bytes = MOST_WINDOW_BYTES
        """What may be under way on one link."""
        self.limit(rate_bytes_per_s)

    @property
    def limited(self) -> bool:
        """Whether anybody has to ask."""
        return self._bucket is not None

    @property
    def rate_bytes_per_s(self) -> float | None:
        """How many bytes may pass in a second; None for all."""
        return None if self._bucket is None else self._bucket.rate

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._urgent.keys() | self._bulk.keys())

    def limit(self, rate_bytes_per_s: float | None) -> None:
        """Let another number of bytes pass in a second from now on; None for all."""
        if rate_bytes_per_s is None:
            self._bucket = None
            self.quantum_bytes, self.window_bytes = MOST_QUANTUM_BYTES, MOST_WINDOW_BYTES
        else:
            rate, now = rate_bytes_per_s, self._clock()
            quantum = max(LEAST_QUANTUM_BYTES, min(MOST_QUANTUM_BYTES, rate * QUANTUM_S))
            burst = max(2 * quantum, rate * BURST_S)
            before = self._bucket
            self._bucket = Bucket(rate, burst, now) if before is None else before.scaled(rate, burst, now)
            self.quantum_bytes = int(quantum)
            self.window_bytes = int(max(LEAST_WINDOW_BYTES, min(MOST_WINDOW_BYTES, rate * WINDOW_S)))
        self._rests_until = _PAST
        if self._urgent or self._bulk:
            self._wake_in(0.0)

    def may(self, turn: Turn, *, urgent: bool) -> bool:
        """Whether one batch may pass now; if not, `turn` is called once when it may, and asks again.

        Args:
            turn: names who asks: the same callable waits once at most in each queue.
            urgent: goes before whatever is not. Who waits with bulk too keeps that place: a link that has a token to
                send now and then would never come to send its prompt otherwise.
        """
        bucket = self._bucket
        if bucket is None:
            return True
        if turn == self._granted:
            self._granted = None
            return True
        first = not self._urgent and (urgent or next(iter(self._bulk), turn) == turn)
        if first and bucket.level(self._clock()) > (0.0 if urgent else bucket.burst / 2):
            if not urgent:
                self.leave(turn)
            self._urgent_run = self._urgent_run + 1 if urgent and self._bulk else 0
            if self._urgent_run == URGENT_TURNS:
                self._wake_in(self._wait_s(bucket))
            return True
        if urgent:
            self._urgent.setdefault(turn)
        elif turn not in self._urgent:
            self._bulk.setdefault(turn)
        self._wake_in(self._wait_s(bucket))
        return False

    def spend(self, nbytes: int) -> None:
        """So many bytes have passed; also for those that never ask, as datagrams do not."""
        if self._bucket is not None:
            self._rests_until = _PAST
            self._bucket.spend(nbytes, self._clock())

    def leave(self, turn: Turn) -> None:
        """`turn` does not wait any more."""
        self._urgent.pop(turn, None)
        self._bulk.pop(turn, None)
        if not (self._urgent or self._bulk):
            self._cancel_timer()

    async def take(self, nbytes: int) -> None:
        """Wait until so many bytes of bulk may pass, in as many turns as they need, and count them.

        Whoever is cancelled has taken what its turns so far have.
        """
        left = nbytes
        while left > 0 and self._bucket is not None:
            await self._turn()
            part = min(left, self.quantum_bytes)
            self.spend(part)
            left -= part

    async def _turn(self) -> None:
        come = asyncio.Event()
        turn = come.set
        try:
            # Who is called has its turn, whatever it finds when it wakes.
            if not self.may(turn, urgent=False):
                await come.wait()
        finally:
            self.leave(turn)

    def _next(self, bucket: Bucket) -> tuple[dict[Turn, None], float]:
        """Whose turn comes, and the level of the bucket above which it does."""
        if self._bulk and self._urgent_run >= URGENT_TURNS:
            return self._bulk, 0.0
        return (self._urgent, 0.0) if self._urgent else (self._bulk, bucket.burst / 2)

    def _wait_s(self, bucket: Bucket) -> float:
        """Seconds until the next one in line may pass."""
        now = self._clock()
        _, kept = self._next(bucket)
        return max(_LEAST_WAIT_S, bucket.wait_s(kept, now), self._rests_until - now)

    def _serve(self) -> None:
        """Call those whose turn has come. What one of them raises is the loop's to report; the others go on."""
        self._timer, self._timer_at = None, _NEVER
        try:
            for _ in range(_TURNS_AT_ONCE):
                if not self._serve_one():
                    break
        finally:
            if self._urgent or self._bulk:
                self._wake_in(_LEAST_WAIT_S if self._bucket is None else self._wait_s(self._bucket))

    def _serve_one(self) -> bool:
        queue = self._urgent or self._bulk
        if self._bucket is not None:
            now = self._clock()
            queue, kept = self._next(self._bucket)
            if now < self._rests_until or self._bucket.level(now) <= kept:
                return False
            self._urgent_run = self._urgent_run + 1 if queue is self._urgent else 0
            # Who tells later what it took keeps the next one waiting for as long as a whole turn takes.
            self._rests_until = now + self.quantum_bytes / self._bucket.rate
        if not queue:
            return False
        turn = next(iter(queue))
        del queue[turn]
        # Who is called for bulk may send what is urgent first; who is called for that keeps its place for bulk.
        self._urgent.pop(turn, None)
        self._grant(turn)
        return True

    def _grant(self, turn: Turn) -> None:
        self._granted = turn
        try:
            turn()
        finally:
            self._granted = None

    def _wake_in(self, wait_s: float) -> None:
        due = self._clock() + wait_s
        if due < self._timer_at:
            self._cancel_timer()
            self._timer_at = due
            self._timer = (self._later or asyncio.get_running_loop().call_later)(wait_s, self._serve)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, _NEVER


class Pacer:
    """Both directions of one process."""

    def __init__(
        self,
        *,
        upload_bytes_per_s: float | None = None,
        download_bytes_per_s: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.upload = Gate(upload_bytes_per_s, clock=clock)
        self.download = Gate(download_bytes_per_s, clock=clock)

    def limit(self, *, upload_bytes_per_s: float | None, download_bytes_per_s: float | None) -> None:
        """Let other numbers of bytes pass from now on."""
        self.upload.limit(upload_bytes_per_s)
        self.download.limit(download_bytes_per_s)
