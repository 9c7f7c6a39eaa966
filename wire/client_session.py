"""A session at one hop, as the client sees it: a machine without clock or socket. Spec: `specs/forward.md`.

The client holds one of these per hop; `chat.chain` joins them. The mirror of `wire.session.HostedSession`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire import codes, limits
from wire.codes import Code
from wire.errors import BadMessage, IllegalState, InvalidValue
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Output, Tokens
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncate, Truncated
from wire.session_table import CLIENT, ClientInput, ClientState


@dataclass(frozen=True, slots=True)
class HopReady:
    """The hop holds the session."""


@dataclass(frozen=True, slots=True)
class StepAnswered:
    """The hop's answer to an outstanding step of the current epoch."""

    answer: Tokens | Output


@dataclass(frozen=True, slots=True)
class HopTruncated:
    """The hop has made the cut."""

    epoch: int


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """More steps may be sent."""


@dataclass(frozen=True, slots=True)
class HopEnded:
    """The hop holds the session no longer, or never did. `code` is None for a code of a newer protocol."""

    code: Code | None
    detail: str
    refused: bool
    """Whether it was never opened."""
    retry_after_ms: int | None = None


ClientEvent = HopReady | StepAnswered | HopTruncated | WindowOpened | HopEnded

_INPUTS: dict[type[Message], ClientInput] = {
    Ready: ClientInput.READY,
    Refused: ClientInput.REFUSED,
    Tokens: ClientInput.TOKENS,
    Output: ClientInput.OUTPUT,
    Credit: ClientInput.CREDIT,
    Truncated: ClientInput.TRUNCATED,
    Abort: ClientInput.ABORT,
}
_ANSWERS: dict[Delivery, type[Message] | None] = {
    Delivery.TOKENS: Tokens,
    Delivery.HIDDEN: Output,
    Delivery.NEXT: None,
}


class HopSession:
    """The client's half of one session at one hop.

    Every step the client makes is announced to every hop's machine (`announce`), so that the hop that answers can be
    checked against what was asked; only the first hop is sent the tensor.
    """

    def __init__(self, opened: Open, *, hidden_size: int) -> None:
        self.opened = opened
        self.state = ClientState.OPENING
        self.epoch = 0
        self._hidden_size = hidden_size
        self._outstanding: dict[int, Forward] = {}
        """Steps this hop has yet to answer; empty at hops that answer none."""
        self._granted = limits.SESSION_WINDOW_STEPS - 1
        self._last_step = -1
        self._cut_position = 0
        self._events: list[ClientEvent] = []
        self._outbox: list[Message] = [opened]

    @property
    def may_send(self) -> bool:
        """Whether the window allows one more step."""
        return self.state is ClientState.READY and self._last_step < self._granted

    def announce(self, forward: Forward, *, send: bool) -> None:
        """Note a step on its way through the chain; `send` it to this hop if it is the first."""
        self._move(ClientInput.SEND_FORWARD)
        if forward.step != self._last_step + 1 or forward.epoch != self.epoch:
            raise IllegalState(f"step {forward.step} does not follow step {self._last_step}")
        if send and not self.may_send:
            raise IllegalState("the window is used up")
        self._last_step = forward.step
        if _ANSWERS[self.opened.delivery] is not None:
            self._outstanding[forward.step] = forward
        if send:
            self._outbox.append(forward)

    def truncate(self, position: int) -> None:
        """Ask the hop to drop all positions from `position` on and every step under way."""
        self._move(ClientInput.SEND_TRUNCATE)
        self.epoch += 1
        self._outstanding.clear()
        self._cut_position = position
        self._granted = self._last_step + limits.SESSION_WINDOW_STEPS
        self._outbox.append(
            Truncate(
                session=self.opened.session,
                epoch=self.epoch,
                position=position,
                next_step=self._last_step + 1,
            )
        )

    def close(self) -> None:
        """End the session at this hop. Does nothing once it has ended."""
        if self.state is not ClientState.CLOSED:
            self._move(ClientInput.SEND_CLOSE)
            self._outstanding.clear()
            self._outbox.append(Close(session=self.opened.session))

    def fail(self, code: Code, detail: str) -> None:
        """The hop cannot be reached any more. Does nothing once the session has ended."""
        if self.state is not ClientState.CLOSED:
            refused = self.state is ClientState.OPENING
            self._move(ClientInput.FAIL)
            self._outstanding.clear()
            self._events.append(HopEnded(code, detail, refused))

    def receive(self, message: Message) -> None:
        """Take one message of the session from this hop. Never raises for what the host did."""
        kind = _INPUTS.get(type(message))
        if kind is None or self.state is ClientState.CLOSED:
            return
        if (self.state, kind) not in CLIENT:
            self._fault(f"the host sent {kind.value} while the session was {self.state.value}")
        elif isinstance(message, Tokens | Output):
            self._on_answer(message)
        elif isinstance(message, Credit):
            self._on_credit(message)
        elif isinstance(message, Truncated):
            self._on_truncated(message)
        elif isinstance(message, Ready):
            self._move(ClientInput.READY)
            self._events.append(HopReady())
        elif isinstance(message, Refused):
            self._move(kind)
            self._events.append(
                HopEnded(codes.known(message.code), message.detail, True, message.retry_after_ms)
            )
        elif isinstance(message, Abort):
            refused = self.state is ClientState.OPENING
            self._move(kind)
            self._outstanding.clear()
            self._events.append(HopEnded(codes.known(message.code), message.detail, refused))

    def events(self) -> list[ClientEvent]:
        """Drain what happened."""
        events, self._events = self._events, []
        return events

    def messages_to_send(self) -> list[Message]:
        """Drain what has to be said to this hop, in order."""
        messages, self._outbox = self._outbox, []
        return messages

    def _on_answer(self, answer: Tokens | Output) -> None:
        if answer.epoch != self.epoch or answer.step not in self._outstanding:
            if answer.step > self._last_step or answer.epoch > self.epoch:
                self._fault(f"the host answered step {answer.step}, which was never asked")
            return
        if type(answer) is not _ANSWERS[self.opened.delivery]:
            self._fault("the host answered in a form that was not agreed")
            return
        fault = self._fault_of(answer, self._outstanding[answer.step])
        if fault is not None:
            self._fault(fault)
            return
        del self._outstanding[answer.step]
        self._events.append(StepAnswered(answer))

    def _fault_of(self, answer: Tokens | Output, asked: Forward) -> str | None:
        if min(self._outstanding) != answer.step:
            return f"the host answered step {answer.step} before step {min(self._outstanding)}"
        if isinstance(answer, Tokens):
            if answer.position != asked.position + asked.count:
                return "the host answered for another position"
            if len(answer.ids) != (1 if asked.sample else 0):
                return f"the host sent {len(answer.ids)} tokens for one step"
            return self._logprobs_fault_of(answer)
        if answer.position != asked.position + asked.count - 1:
            return "the host answered for another position"
        if answer.shape != (1, 1, self._hidden_size) or answer.dtype is not self.opened.dtype:
            return "the host sent hidden states of another shape or dtype"
        try:
            answer.tensor.check(len(answer.body))
        except (BadMessage, InvalidValue) as error:
            return str(error)
        return None

    def _logprobs_fault_of(self, answer: Tokens) -> str | None:
        if answer.logprobs is None:
            return None
        drawn = tuple(one.token for one in answer.logprobs[:1])
        most = self.opened.logprobs + 1 if self.opened.logprobs else 0
        if not answer.ids or drawn != answer.ids or len(answer.logprobs) > most:
            return "the host sent log-probabilities that were not asked for"
        return None

    def _on_credit(self, credit: Credit) -> None:
        granted = credit.step + limits.SESSION_WINDOW_STEPS
        if credit.epoch == self.epoch and credit.step <= self._last_step and granted > self._granted:
            self._granted = granted
            self._events.append(WindowOpened())

    def _on_truncated(self, truncated: Truncated) -> None:
        if truncated.epoch != self.epoch or truncated.position != self._cut_position:
            self._fault("the host cut the session elsewhere than asked")
            return
        self._move(ClientInput.TRUNCATED)
        self._events.append(HopTruncated(self.epoch))

    def _fault(self, detail: str) -> None:
        """The host broke the protocol: end the session there too."""
        self._move(ClientInput.FAIL)
        self._outstanding.clear()
        self._outbox.append(Close(session=self.opened.session))
        self._events.append(HopEnded(Code.PROTOCOL, detail, False))

    def _move(self, kind: ClientInput) -> None:
        try:
            self.state = CLIENT[self.state, kind]
        except KeyError as error:
            raise IllegalState(
                f"{kind.value} is not possible while the session is {self.state.value}"
            ) from error
