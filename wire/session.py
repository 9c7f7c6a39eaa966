"""A session on a host, as a machine without clock, socket or tensor library. Spec: `specs/forward.md`.

`HostedSession` decides which steps are computed and what is told to whom; the host daemon computes and sends. Its
mirror at the client is `wire.client_session`. Whatever its peers do, at most one window of steps and one cut are under
way: a step past what was credited, and a cut or a new epoch's step while a cut is being made, end the session.

    receive(message, sender=, now=)  ->  events()            steps to compute, cuts to make, the end
    accept / deliver / cut_done ...  ->  messages_to_send()  who is told what
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from crypto.identity import PeerId
from wire import limits
from wire.codes import Code
from wire.errors import IllegalState
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Output, Tokens
from wire.messages.session import (
    DETAIL,
    Abort,
    Close,
    Open,
    Ready,
    Refused,
    Truncate,
    Truncated,
    check_open,
)
from wire.session_table import HOST, HostInput, HostState

Result = Forward | Output | Tokens


class To(Enum):
    """A host's three correspondents in one session."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class StepArrived:
    """Compute this step, after everything announced before it."""

    forward: Forward


@dataclass(frozen=True, slots=True)
class CutRequested:
    """Drop all positions from `position` on, then call `cut_done`. Steps announced before it are void."""

    position: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Free everything the session holds. `code` is None when the client closed it."""

    code: Code | None
    detail: str


HostEvent = StepArrived | CutRequested | Ended

_INPUTS: dict[type[Message], HostInput] = {
    Forward: HostInput.FORWARD,
    Truncate: HostInput.TRUNCATE,
    Credit: HostInput.CREDIT,
    Close: HostInput.CLOSE,
    Abort: HostInput.ABORT,
}
_SENDERS: dict[HostInput, To] = {
    HostInput.FORWARD: To.UPSTREAM,
    HostInput.TRUNCATE: To.CLIENT,
    HostInput.CREDIT: To.NEXT,
    HostInput.CLOSE: To.CLIENT,
    HostInput.ABORT: To.NEXT,
}
"""Who may say it. The next hop speaks of the session by its own id of it, all others by ours."""


class HostedSession:
    """One session on one host."""

    def __init__(
        self, opened: Open, *, client: PeerId, hidden_size: int, token_ids: int = 0, now: float
    ) -> None:
        """Start in `OPENING`; the caller reserves memory and reaches the next hop, then calls `accept` or `refuse`.

        Args:
            hidden_size: W, of the hidden states `[1, T, W]` of a step.
            token_ids: how many token ids there are, where steps carry those of their tokens; 0 where they must not.

        Raises `BadMessage` when the request contradicts itself.
        """
        check_open(opened)
        self.opened = opened
        self.state = HostState.OPENING
        self.epoch = 0
        self.position = 0
        """Positions received so far in this epoch; the next step must start here."""
        self.duplicates = 0
        """Repeated and stale steps that were ignored."""
        self._hidden_size = hidden_size
        self._token_ids = token_ids
        self._peers = {To.CLIENT: client, To.UPSTREAM: opened.upstream, To.NEXT: opened.next_peer}
        self._next_step = 0
        self._delivered = -1
        """The last step whose result was handed over."""
        self._credited = -1
        """The last step our upstream was told is consumed; it may be a window beyond it."""
        self._granted = limits.SESSION_WINDOW_STEPS - 1
        """The last step the next hop allows us to send."""
        self._held: deque[Forward] = deque()
        """Computed steps that wait for credit; never more than a window."""
        self._last_activity = now
        self._events: list[HostEvent] = []
        self._outbox: list[tuple[To, Message]] = []

    def peer(self, to: To) -> PeerId:
        """Who plays this part. Raises `IllegalState` for `NEXT` at a hop that has none."""
        peer = self._peers[to]
        if peer is None:
            raise IllegalState("this hop delivers to the client and has no next hop")
        return peer

    def receive(self, message: Message, *, sender: PeerId, now: float) -> bool:
        """Take one message of the session. Never raises for what the peer did.

        Returns False, and changes nothing, when `sender` has no part in the session that sends such messages: to
        that peer the session does not exist.
        """
        kind = _INPUTS.get(type(message))
        if kind is None or self._peers[_SENDERS[kind]] != sender:
            return False
        ours = self.opened.next_session if _SENDERS[kind] is To.NEXT else self.opened.session
        if getattr(message, "session", None) != ours:
            return False
        if self.state is HostState.CLOSED:
            return True
        self._last_activity = now
        if (self.state, kind) not in HOST:
            self.fail(Code.PROTOCOL, f"{kind.value} is not allowed while the session is {self.state.value}")
        elif isinstance(message, Forward):
            self._on_forward(message)
        elif isinstance(message, Truncate):
            self._on_truncate(message)
        elif isinstance(message, Credit):
            self._on_credit(message)
        elif isinstance(message, Close):
            self._move(HostInput.CLOSE)
            self._end(None, "closed by the client")
        elif isinstance(message, Abort):
            self.fail(Code.HOP_LOST, "the next hop ended the session")
        return True

    def accept(self) -> None:
        """Memory is reserved and the next hop reached: tell the client the session is open."""
        self._move(HostInput.ACCEPT)
        self._outbox.append((To.CLIENT, Ready(session=self.opened.session)))

    def refuse(self, code: Code, detail: str, *, retry_after_ms: int | None = None) -> None:
        """Tell the client why the session is not opened."""
        self._move(HostInput.REFUSE)
        self._outbox.append(
            (
                To.CLIENT,
                Refused(
                    session=self.opened.session,
                    code=code,
                    detail=DETAIL.fit(detail),
                    retry_after_ms=retry_after_ms,
                ),
            )
        )
        self._end(code, detail)

    def current(self, forward: Forward) -> bool:
        """Whether this step still wants computing: the session is open and was not cut since."""
        return self.state is HostState.OPEN and forward.epoch == self.epoch

    def deliver(self, forward: Forward, result: Result) -> None:
        """Hand over the result of a step, in the order the steps arrived; results of a past epoch are dropped.

        Raises `IllegalState` for a result out of order.
        """
        if not self.current(forward):
            return
        self._move(HostInput.DELIVER)
        if forward.step != self._delivered + 1:
            raise IllegalState(f"the result of step {forward.step} does not follow that of {self._delivered}")
        self._delivered = forward.step
        if isinstance(result, Forward):
            self._held.append(result)
            self._release()
        else:
            self._outbox.append((To.CLIENT, result))
            self._grant()

    def cut_done(self, cut: CutRequested, position: int) -> None:
        """The positions are dropped; `position` of them remain, which ends the session if it is not what was asked."""
        if self.state is HostState.CLOSED:
            return
        self._move(HostInput.CUT_DONE)
        if position != cut.position:
            self.fail(
                Code.POSITION_MISMATCH, f"a cut to {cut.position} positions, {position} had been computed"
            )
            return
        self._outbox.append(
            (To.CLIENT, Truncated(session=self.opened.session, epoch=cut.epoch, position=position))
        )

    def fail(self, code: Code, detail: str) -> None:
        """End the session and tell the client why. Does nothing once it has ended."""
        if self.state is HostState.CLOSED:
            return
        if self.state is HostState.OPENING:
            self.refuse(code, detail)
            return
        self._move(HostInput.FAIL)
        said = Abort(session=self.opened.session, code=code, detail=DETAIL.fit(detail))
        self._outbox.append((To.CLIENT, said))
        self._end(code, detail)

    def next_timeout(self) -> float | None:
        """When the session is idle too long, unless something happens before; None once it has ended."""
        if self.state is HostState.CLOSED:
            return None
        return self._last_activity + limits.SESSION_IDLE_TIMEOUT_S

    def on_time(self, *, now: float) -> None:
        """End the session if it has been idle too long."""
        due = self.next_timeout()
        if due is not None and now >= due:
            self.fail(Code.SESSION_IDLE, f"no step for {limits.SESSION_IDLE_TIMEOUT_S:g} s")

    def events(self) -> list[HostEvent]:
        """Drain what the host has to do."""
        events, self._events = self._events, []
        return events

    def messages_to_send(self) -> list[tuple[To, Message]]:
        """Drain what has to be said, in order."""
        messages, self._outbox = self._outbox, []
        return messages

    def _on_forward(self, forward: Forward) -> None:
        if forward.epoch < self.epoch or (forward.epoch == self.epoch and forward.step < self._next_step):
            self.duplicates += 1
            return
        fault = self._fault_of(forward)
        if fault is not None:
            self.fail(*fault)
            return
        self._next_step = forward.step + 1
        self.position += forward.count
        self._events.append(StepArrived(forward))

    def _fault_of(self, forward: Forward) -> tuple[Code, str] | None:
        if forward.epoch > self.epoch or self.state is HostState.CUTTING:
            return (
                Code.PROTOCOL,
                f"a step of epoch {forward.epoch} came before the cut that begins it was made",
            )
        if forward.step > self._next_step:
            return Code.STEP_GAP, f"step {forward.step} came where step {self._next_step} was due"
        if forward.step > self._credited + limits.SESSION_WINDOW_STEPS:
            return (
                Code.WINDOW_EXCEEDED,
                f"more than {limits.SESSION_WINDOW_STEPS} steps were under way at once",
            )
        if len(forward.trace) >= limits.MAX_HOPS:
            return Code.PROTOCOL, f"a step went over more than {limits.MAX_HOPS} hops"
        if forward.position != self.position:
            return (
                Code.POSITION_MISMATCH,
                f"a step began at position {forward.position}, {self.position} are held",
            )
        if forward.count < 1 or forward.shape != (1, forward.count, self._hidden_size):
            return Code.BAD_TENSOR, f"hidden states must be [1, {forward.count}, {self._hidden_size}]"
        if forward.dtype is not self.opened.dtype:
            return Code.BAD_TENSOR, f"hidden states must be {self.opened.dtype.value}"
        if len(forward.body) != forward.count * self._hidden_size * forward.dtype.size:
            return (
                Code.BAD_TENSOR,
                f"{len(forward.body)} bytes are not hidden states of {list(forward.shape)}",
            )
        if len(forward.body) > limits.MAX_STEP_BYTES:
            return Code.TOO_LARGE, f"the hidden states of a step may have {limits.MAX_STEP_BYTES} bytes"
        fault = self._tokens_fault_of(forward)
        if fault is not None:
            return Code.BAD_TOKENS, fault
        if self.position + forward.count > self.opened.positions:
            return Code.CONTEXT_FULL, f"the session was opened for {self.opened.positions} positions"
        return None

    def _tokens_fault_of(self, forward: Forward) -> str | None:
        tokens = forward.tokens
        if not self._token_ids:
            return None if tokens is None else "a step carries token ids, which these layers do not need"
        if tokens is None:
            return "a step carries no token ids, which these layers need"
        if len(tokens) != forward.count or max(tokens) >= self._token_ids:
            return f"a step of {forward.count} tokens must carry their ids, each below {self._token_ids}"
        return None

    def _on_truncate(self, cut: Truncate) -> None:
        if cut.epoch <= self.epoch:
            self.duplicates += 1
            return
        if cut.epoch != self.epoch + 1 or cut.next_step < self._next_step:
            self.fail(Code.PROTOCOL, "a cut must begin the next epoch and go on counting steps")
            return
        if cut.position > self.position:
            self.fail(Code.POSITION_MISMATCH, f"a cut to {cut.position} positions, {self.position} are held")
            return
        self._move(HostInput.TRUNCATE)
        self.epoch = cut.epoch
        self.position = cut.position
        self._next_step = cut.next_step
        self._delivered = self._credited = cut.next_step - 1
        self._granted = self._credited + limits.SESSION_WINDOW_STEPS
        self._held.clear()
        self._events = [CutRequested(cut.position, cut.epoch)]

    def _on_credit(self, credit: Credit) -> None:
        if credit.epoch == self.epoch and credit.step < self._next_step:
            self._granted = max(self._granted, credit.step + limits.SESSION_WINDOW_STEPS)
            self._release()

    def _release(self) -> None:
        """Send what credit allows; only what has left counts as consumed: a slow hop slows its upstream."""
        while self._held and self._held[0].step <= self._granted:
            self._outbox.append((To.NEXT, self._held.popleft()))
        self._grant()

    def _grant(self) -> None:
        consumed = self._held[0].step - 1 if self._held else self._delivered
        if consumed - self._credited >= limits.SESSION_WINDOW_STEPS // 2:
            self._credited = consumed
            self._outbox.append(
                (To.UPSTREAM, Credit(session=self.opened.session, epoch=self.epoch, step=consumed))
            )

    def _end(self, code: Code | None, detail: str) -> None:
        self._held.clear()
        self._events = [Ended(code, detail)]

    def _move(self, kind: HostInput) -> None:
        try:
            self.state = HOST[self.state, kind]
        except KeyError as error:
            raise IllegalState(
                f"{kind.value} is not possible while the session is {self.state.value}"
            ) from error
