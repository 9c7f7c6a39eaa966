"""A client and three hosts joined in memory: the real session machines, links as queues, tokens instead of tensors.

A step's body holds its tokens as float32, and a host's cache is the list of tokens it computed, so every host can
check at every step that what it holds is exactly what the client means to have there. The test decides who moves next.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from crypto.identity import PeerId
from wire import limits
from wire.client_session import HopEnded, HopReady, HopSession, HopTruncated, StepAnswered
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Output, Phase, Tokens
from wire.messages.session import Abort, Delivery, Open, Truncate
from wire.session import CutRequested, Ended, HostedSession, StepArrived
from wire.session_table import ClientState, HostState
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

HOPS: Final = 3
CLIENT: Final = PeerId(bytes([9]) * 32)
PEERS: Final = tuple(PeerId(bytes([number]) * 32) for number in range(HOPS))
SESSIONS: Final = tuple(SessionId(bytes([number]) * 16) for number in range(HOPS))
POSITIONS: Final = 500
Event = StepArrived | CutRequested


def opens(delivery: Delivery = Delivery.TOKENS, *, positions: int = POSITIONS) -> tuple[Open, ...]:
    """What the client asks of each hop; the last one answers by `delivery`."""
    route = []
    for hop in range(HOPS):
        last = hop == HOPS - 1
        route.append(
            Open(
                session=SESSIONS[hop],
                model=ModelId(bytes(32)),
                layers=LayerRange(hop, hop + 1),
                dtype=DType.FLOAT32,
                upstream=PEERS[hop - 1] if hop else CLIENT,
                delivery=delivery if last else Delivery.NEXT,
                next_peer=None if last else PEERS[hop + 1],
                next_address=None if last else Address("127.0.0.1", 7_000 + hop),
                next_session=None if last else SESSIONS[hop + 1],
                sampling=Sampling() if last and delivery is Delivery.TOKENS else None,
                positions=positions,
            )
        )
    return tuple(route)


def tensor(tokens: list[int]) -> bytes:
    """Tokens as the float32 elements of a `[1, T, 1]` tensor."""
    return struct.pack(f"<{len(tokens)}f", *tokens)


def tokens_of(body: bytes | bytearray | memoryview) -> list[int]:
    """The tokens in a tensor."""
    return [int(one) for one in struct.unpack(f"<{len(body) // 4}f", body)]


@dataclass
class Host:
    """One host: its machine, its queue of work, its cache, the step it is computing."""

    machine: HostedSession
    work: deque[Event] = field(default_factory=deque)
    cache: list[int] = field(default_factory=list)
    computing: Forward | None = None
    held: set[int] = field(default_factory=set)
    """Steps computed that the machine has not passed on."""
    expected_step: int = 0
    expected_position: int = 0
    epoch: int = 0

    def absorb(self) -> None:
        """Queue what the machine announces; steps must come in order, without a gap, and of its epoch."""
        for event in self.machine.events():
            match event:
                case StepArrived(forward):
                    assert (forward.epoch, forward.step) == (self.epoch, self.expected_step)
                    assert forward.position == self.expected_position
                    self.expected_step += 1
                    self.expected_position += forward.count
                    self.work.append(event)
                case CutRequested(position, epoch):
                    assert epoch == self.epoch + 1
                    self.epoch, self.expected_position = epoch, position
                    self.held.clear()
                    self.work.append(event)
                case Ended():
                    self.work.clear()
                    # What the machine has not dropped by itself is seen.
                    self.held = {one.step for one in self.machine._held}

    def begin(self) -> None:
        """Take the next event: make a cut, or compute a step into the cache."""
        event = self.work.popleft()
        if isinstance(event, CutRequested):
            del self.cache[event.position :]
            self.machine.cut_done(event, len(self.cache))
        elif self.machine.current(event.forward):
            assert event.forward.position == len(self.cache)
            self.cache += tokens_of(event.forward.body)
            self.computing = event.forward

    def finish(self) -> None:
        """Hand over the step that was being computed, which may have been cut meanwhile."""
        forward, self.computing = self.computing, None
        assert forward is not None
        if self.machine.current(forward) and self.machine.opened.delivery is Delivery.NEXT:
            self.held.add(forward.step)
        self.machine.deliver(forward, self._result(forward))

    def _result(self, forward: Forward) -> Forward | Output | Tokens:
        opened = self.machine.opened
        end = forward.position + forward.count
        if opened.delivery is Delivery.NEXT and opened.next_session is not None:
            return replace(forward, session=opened.next_session)
        if opened.delivery is Delivery.HIDDEN:
            return Output(
                session=forward.session,
                epoch=forward.epoch,
                step=forward.step,
                position=end - 1,
                dtype=DType.FLOAT32,
                shape=(1, 1, 1),
                trace=(),
                body=forward.body[-4:],
            )
        return Tokens(
            session=forward.session,
            epoch=forward.epoch,
            step=forward.step,
            position=end,
            ids=(end,) if forward.sample else (),
            trace=(),
        )


class ChainOfThree:
    """All machines of one conversation and the links between them."""

    def __init__(self, delivery: Delivery = Delivery.TOKENS) -> None:
        self.hops = tuple(HopSession(one, hidden_size=1) for one in opens(delivery))
        self.hosts = tuple(
            Host(HostedSession(one, client=CLIENT, hidden_size=1, now=0.0)) for one in opens(delivery)
        )
        self.links: dict[tuple[PeerId, PeerId], deque[Message]] = {}
        """Messages under way, by sender and receiver; each link keeps its order."""
        self.history: list[int] = []
        """The token at every position, as the client means it."""
        self.answered = 0
        """Positions whose step was answered: no cut may go beyond."""
        self.unanswered: deque[Forward] = deque()
        self.passed: tuple[list[Forward], ...] = tuple([] for _ in PEERS)
        """The steps sent to each hop so far."""
        self.ended: list[HopEnded] = []
        self.step = 0
        self.token = 0
        for hop, host in zip(self.hops, self.hosts, strict=True):
            hop.messages_to_send()
            host.machine.accept()
        self.flush()
        self.settle()

    @property
    def open(self) -> bool:
        """Whether every hop's session is ready for steps."""
        return all(one.state is ClientState.READY for one in self.hops)

    def moves(self, *, stopped: int | None = None) -> list[Callable[[], None]]:
        """Everything that links and hosts could do next, but for one host that computes nothing."""
        found: list[Callable[[], None]] = []
        for ends, link in self.links.items():
            if link:
                found.append(partial(self.carry, *ends))
        for at, host in enumerate(self.hosts):
            if at == stopped:
                continue
            if host.computing is not None:
                found.append(partial(self._do, host.finish))
            elif host.work:
                found.append(partial(self._do, host.begin))
        return found

    def settle(self, *, stopped: int | None = None) -> None:
        """Let everything happen until nothing more can."""
        while moves := self.moves(stopped=stopped):
            moves[0]()

    def may_send(self, count: int) -> bool:
        """Whether the client may send a step of this many tokens."""
        return self.open and self.hops[0].may_send and len(self.history) + count <= POSITIONS

    def send(self, count: int, *, sample: bool) -> Forward:
        """Send one step of new tokens into the chain."""
        tokens = list(range(self.token, self.token + count))
        self.token += count
        forward = Forward(
            session=SESSIONS[0],
            epoch=self.hops[0].epoch,
            step=self.step,
            position=len(self.history),
            phase=Phase.DECODE if count == 1 else Phase.PREFILL,
            sample=sample,
            count=count,
            dtype=DType.FLOAT32,
            shape=(1, count, 1),
            trace=(),
            body=tensor(tokens),
        )
        self.step += 1
        self.history += tokens
        self.unanswered.append(forward)
        for index, hop in enumerate(self.hops):
            hop.announce(forward, send=index == 0)
        self.flush()
        return forward

    def truncate(self, position: int) -> None:
        """Cut every hop back."""
        assert position <= self.answered
        for hop in self.hops:
            hop.truncate(position)
        del self.history[position:]
        self.answered = position
        self.unanswered.clear()
        self.flush()

    def repeat(self, hop: int, which: int) -> None:
        """Send a step once more that this hop was sent before, of any epoch."""
        passed = self.passed[hop]
        if passed:
            upstream = PEERS[hop - 1] if hop else CLIENT
            self.links[upstream, PEERS[hop]].append(passed[which % len(passed)])

    def close(self) -> None:
        """End the conversation."""
        for hop in self.hops:
            hop.close()
        self.flush()

    def fail(self, hop: int) -> None:
        """A host gives its session up."""
        self.hosts[hop].machine.fail(Code.COMPUTE_FAILED, "by chance")
        self.flush()

    def carry(self, sender: PeerId, receiver: PeerId) -> None:
        """Deliver the oldest message of one link."""
        message = self.links[sender, receiver].popleft()
        session = getattr(message, "session", None)
        if receiver == CLIENT:
            self.hops[PEERS.index(sender)].receive(message)
        else:
            at = PEERS.index(receiver)
            about = SESSIONS[at + 1] if isinstance(message, Credit | Abort) else SESSIONS[at]
            assert session == about
            host = self.hosts[at].machine
            ended = host.state is HostState.CLOSED
            assert host.receive(message, sender=sender, now=1.0)
            if isinstance(message, Truncate):
                self.hosts[at].expected_step = message.next_step
            if ended and isinstance(message, Forward):
                # A host that has ended the session no longer knows it, and says so to whoever sends a step.
                gone = Abort(session=SESSIONS[at], code=Code.UNKNOWN_SESSION, detail="")
                self._queue(receiver, sender, gone)
        self.flush()

    def flush(self) -> None:
        """Put what the machines want to say on the links, and take note of what they report."""
        for at, (hop, host) in enumerate(zip(self.hops, self.hosts, strict=True)):
            for message in hop.messages_to_send():
                self._queue(CLIENT, PEERS[at], message)
            for event in hop.events():
                self._note(event)
            host.absorb()
            for to, message in host.machine.messages_to_send():
                if isinstance(message, Forward):
                    host.held.remove(message.step)
                self._queue(PEERS[at], host.machine.peer(to), message)
        if self.ended:
            for hop in self.hops:
                if hop.state is not ClientState.CLOSED:
                    hop.close()
                    self.flush()
        self.check()

    def check(self) -> None:
        """What must hold at any moment."""
        for at, host in enumerate(self.hosts):
            if host.machine.state is not HostState.OPEN:
                continue
            waiting = [one.forward for one in host.work if isinstance(one, StepArrived)]
            steps = {one.step for one in waiting if host.machine.current(one)} | host.held
            if host.computing is not None and host.machine.current(host.computing):
                steps.add(host.computing.step)
            upstream = PEERS[at - 1] if at else CLIENT
            for one in self.links.get((upstream, PEERS[at]), ()):
                if isinstance(one, Forward) and one.epoch == host.epoch and one.step >= host.expected_step:
                    steps.add(one.step)
            assert len(steps) <= limits.SESSION_WINDOW_STEPS
            assert len(waiting) <= limits.SESSION_WINDOW_STEPS
            if host.machine.epoch == self.hops[0].epoch and not host.work and host.computing is None:
                assert host.cache == self.history[: len(host.cache)]

    def _do(self, action: Callable[[], None]) -> None:
        action()
        self.flush()

    def _note(self, event: object) -> None:
        match event:
            case StepAnswered(answer):
                asked = self.unanswered.popleft()
                assert (answer.epoch, answer.step) == (asked.epoch, asked.step)
                self.answered = asked.position + asked.count
            case HopEnded():
                self.ended.append(event)
            case HopReady() | HopTruncated():
                pass

    def _queue(self, sender: PeerId, receiver: PeerId, message: Message) -> None:
        self.links.setdefault((sender, receiver), deque()).append(message)
        if isinstance(message, Forward):
            self.passed[PEERS.index(receiver)].append(message)
