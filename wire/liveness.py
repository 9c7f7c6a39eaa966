"""Whether the peer is still there: acknowledgements, pings, stalls, and how much chatter it may make.

A pure little machine beside the connection; it owns no bytes. Four things end a link here, each because nothing else
would show it:

- a message unacknowledged, with no progress, for `ACK_TIMEOUT_S` (the peer sends but no longer receives);
- a ping unanswered as long (it is silent);
- queued bytes of which none could leave for as long (it does not read);
- an unfinished message that grows too slowly (it dribbles).

Acknowledgements are counts, delayed so that a decode step does not cost a packet of its own, and put beside other
messages when those leave anyway. Spec: `specs/wire.md` §Liveness.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from wire import limits
from wire.codes import Code
from wire.errors import BadFrame, BadMessage
from wire.frames import Assembler
from wire.messages.link import Ack, Ping

_NEVER: Final = float("inf")
_SMOOTHING: Final = 0.25
"""Weight of a new round trip in the average."""


class Allowance:
    """A token bucket for what costs us more than it costs the peer."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(limits.CHATTER_BURST)
        self._at = now

    def spend(self, now: float) -> None:
        """Take one token. Raises `BadMessage` with `flooding` when there is none."""
        self._left = min(limits.CHATTER_BURST, self._left + (now - self._at) * limits.CHATTER_RATE_HZ)
        self._at = now
        if self._left < 1:
            raise BadMessage("too many pings, acks or unknown messages", code=Code.FLOODING)
        self._left -= 1


class Growth:
    """Watches that one lane's unfinished message grows."""

    __slots__ = ("_bytes", "_lane", "since")

    def __init__(self) -> None:
        self.since = _NEVER
        self._lane: Assembler | None = None
        self._bytes = 0

    def update(self, lane: Assembler, *, finished: bool, now: float) -> None:
        """Take note of a fragment fed to `lane`, and whether it finished a message."""
        if not lane.incomplete:
            self.since = _NEVER
        elif finished or self.since == _NEVER:
            self.since = now
            self._lane = lane
            self._bytes = lane.received_bytes

    def check(self, now: float) -> None:
        """Raise `BadFrame` with `timeout` when the message has not grown enough in its time."""
        if self._lane is None or now < self.since + limits.STALL_TIMEOUT_S:
            return
        grown = self._lane.received_bytes - self._bytes
        if grown < limits.STALL_BYTES:
            raise BadFrame(
                f"an unfinished message grew by {grown} bytes in {limits.STALL_TIMEOUT_S:g} s",
                code=Code.TIMEOUT,
            )
        self.since = now
        self._bytes = self._lane.received_bytes


class Liveness:
    """The clockwork of one established connection; every method takes the time."""

    def __init__(self, now: float, *, round_trip_s: float) -> None:
        self.round_trip_s = round_trip_s
        self.chatter = Allowance(now)
        self._heard_at = now
        self._received = 0
        self._acknowledged = 0
        self._ack_owed_since = _NEVER
        self._completed = 0
        self._peer_acknowledged = 0
        self._marks: deque[tuple[int, float]] = deque()
        self._progress_at = now
        self._output_waits_since = _NEVER
        self._ping: Ping | None = None
        self._pinged_at = _NEVER
        self._next_nonce = 0

    def heard(self, now: float) -> None:
        """A record of the peer arrived and was authentic."""
        self._heard_at = now

    def received(self, now: float) -> None:
        """A message that counts arrived."""
        self._received += 1
        if self._ack_owed_since == _NEVER:
            self._ack_owed_since = now

    def output(self, *, completed: int, waiting: bool, now: float) -> None:
        """Bytes left: so many counted messages are out by now, and whether more are waiting."""
        if completed > self._completed:
            self._completed = completed
            self._marks.append((completed, now))
        self._output_waits_since = now if waiting else _NEVER

    def queued(self, now: float) -> None:
        """Bytes wait to leave."""
        if self._output_waits_since == _NEVER:
            self._output_waits_since = now

    def on_ack(self, count: int, now: float) -> None:
        """Take the peer's count. Raises `BadMessage` for one that falls, or that names what was never sent."""
        if not self._peer_acknowledged <= count <= self._completed:
            raise BadMessage(f"ack {count} is not between {self._peer_acknowledged} and {self._completed}")
        if count > self._peer_acknowledged:
            self._progress_at = now
        self._peer_acknowledged = count
        while self._marks and self._marks[0][0] <= count:
            self._marks.popleft()

    def on_pong(self, nonce: int, now: float) -> None:
        """Take the answer to our ping. Raises `BadMessage` when there was none."""
        if self._ping is None or nonce != self._ping.nonce:
            raise BadMessage("a pong without its ping")
        self.round_trip_s += _SMOOTHING * (now - self._pinged_at - self.round_trip_s)
        self._ping = None
        self._pinged_at = _NEVER

    def ack(self, now: float, *, least_wait_s: float) -> Ack | None:
        """The acknowledgement that is owed, if it has been owed for `least_wait_s`; it counts as sent."""
        if now < self._ack_owed_since + least_wait_s:
            return None
        self._acknowledged = self._received
        self._ack_owed_since = _NEVER
        return Ack(count=self._acknowledged)

    def ping(self, now: float) -> Ping | None:
        """The ping that is due, if one is; it counts as sent."""
        if self._ping is not None or now < self._heard_at + limits.PING_INTERVAL_S:
            return None
        self._ping = Ping(nonce=self._next_nonce)
        self._pinged_at = now
        self._next_nonce += 1
        return self._ping

    def verdict(self, now: float) -> str | None:
        """Why the peer must be given up, or None."""
        if now >= self._unacknowledged_since + limits.ACK_TIMEOUT_S:
            return f"messages unacknowledged for {limits.ACK_TIMEOUT_S:g} s"
        if now >= self._pinged_at + limits.ACK_TIMEOUT_S:
            return f"silent for {now - self._heard_at:.1f} s"
        if now >= self._output_waits_since + limits.ACK_TIMEOUT_S:
            return f"has read nothing for {limits.ACK_TIMEOUT_S:g} s"
        return None

    def next_timeout(self) -> float:
        """When `ack`, `ping` or `verdict` may next have something to say."""
        return min(
            self._ack_owed_since + limits.ACK_DELAY_S,
            self._heard_at + limits.PING_INTERVAL_S if self._ping is None else _NEVER,
            self._unacknowledged_since + limits.ACK_TIMEOUT_S,
            self._pinged_at + limits.ACK_TIMEOUT_S,
            self._output_waits_since + limits.ACK_TIMEOUT_S,
        )

    @property
    def _unacknowledged_since(self) -> float:
        return max(self._marks[0][1], self._progress_at) if self._marks else _NEVER
