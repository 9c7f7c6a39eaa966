"""Hosts in memory: the real session machine of `wire.session` around a trivial model, no socket, no torch.

The model: hidden states are one byte per position, a hop adds one to each, and the tail draws a weighted sum of all
its session holds modulo 251. So a dropped, doubled, swapped or stale step changes the tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chat.chain import Chain, ChainSpec
from chat.route import Hop, Route
from crypto.identity import Identity, PeerId
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Forward, HopTime, Output, Tokens
from wire.messages.session import Delivery, Open
from wire.session import CutRequested, Ended, HostedSession, StepArrived
from wire.tensors import DType, TensorSpec
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

HIDDEN = 1
MODEL = ModelId(bytes(32))
CLIENT = Identity.from_seed(b"c" * 32).peer_id


def draw(held: Iterable[int]) -> int:
    """The token that follows what the tail holds."""
    return sum((index + 1) * value for index, value in enumerate(held)) % 251


def expected(prompt: Iterable[int], hops: int, count: int) -> list[int]:
    """The tokens a chain of `hops` must answer to `prompt`."""
    held = [(token + hops) % 256 for token in prompt]
    answer: list[int] = []
    for _ in range(count):
        answer.append(draw(held))
        held.append((answer[-1] + hops) % 256)
    return answer


def hidden(*tokens: int) -> tuple[TensorSpec, bytes]:
    """Hidden states `[1, T, 1]` that stand for tokens."""
    return TensorSpec(DType.FLOAT32, (1, len(tokens), HIDDEN)), b"".join(
        bytes([token % 256, 0, 0, 0]) for token in tokens
    )


@dataclass
class FakeHost:
    """One host; `refuse` and `fail_at` make it misbehave, `paused` holds its steps back."""

    swarm: FakeSwarm
    peer_id: PeerId
    refuse: Code | None = None
    fail_at: int | None = None
    """Aborts when it is asked for this position."""
    paused: bool = False
    machine: HostedSession | None = None
    held: list[int] = field(default_factory=list)
    computed: list[Forward] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    waiting: list[StepArrived | CutRequested] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """The client's link to this host."""
        self.swarm.post(CLIENT, self, message)

    def receive(self, sender: PeerId, message: Message) -> None:
        """Take a message as a daemon would."""
        if isinstance(message, Open):
            self.machine = HostedSession(message, client=sender, hidden_size=HIDDEN, now=0.0)
            self.held = []
            if self.refuse is not None:
                self.machine.refuse(self.refuse, "not today", retry_after_ms=2_000)
            else:
                self.machine.accept()
        elif self.machine is not None:
            self.machine.receive(message, sender=sender, now=0.0)
        self.work()

    def resume(self) -> None:
        """Do what was held back."""
        self.paused = False
        self.work()

    def work(self) -> None:
        """Do all that is due and send all that is to be said."""
        machine = self.machine
        if machine is None:
            return
        self._take(machine)
        while self.waiting and not self.paused:
            event = self.waiting.pop(0)
            if isinstance(event, CutRequested):
                del self.held[event.position :]
                machine.cut_done(event, len(self.held))
            elif machine.current(event.forward):
                self._compute(machine, event.forward)
        self._take(machine)
        for to, message in machine.messages_to_send():
            self.swarm.post_from(self, machine.peer(to), message)

    def _take(self, machine: HostedSession) -> None:
        for event in machine.events():
            if isinstance(event, Ended):
                self.ended.append(event)
                self.waiting.clear()
            else:
                self.waiting.append(event)

    def _compute(self, machine: HostedSession, forward: Forward) -> None:
        if self.fail_at is not None and forward.position + forward.count > self.fail_at:
            machine.fail(Code.COMPUTE_FAILED, "the slice could not compute this step")
            return
        self.computed.append(forward)
        opened = machine.opened
        # One f32 per position, of which only the first byte is used.
        values = [(forward.body[at] + 1) % 256 for at in range(0, len(forward.body), 4)]
        self.held += values
        _, body = hidden(*values)
        trace = (*forward.trace, HopTime(queue_us=1, compute_us=2))
        result: Forward | Output | Tokens
        if opened.delivery is Delivery.TOKENS:
            result = Tokens(
                session=forward.session,
                epoch=forward.epoch,
                step=forward.step,
                position=forward.position + forward.count,
                ids=(draw(self.held),) if forward.sample else (),
                trace=trace,
            )
        elif opened.delivery is Delivery.HIDDEN:
            result = Output(
                session=forward.session,
                epoch=forward.epoch,
                step=forward.step,
                position=forward.position + forward.count - 1,
                dtype=DType.FLOAT32,
                shape=(1, 1, HIDDEN),
                trace=trace,
                body=body[-4:],
            )
        else:
            assert opened.next_session is not None
            result = Forward(
                session=opened.next_session,
                epoch=forward.epoch,
                step=forward.step,
                position=forward.position,
                phase=forward.phase,
                sample=forward.sample,
                count=forward.count,
                dtype=forward.dtype,
                shape=forward.shape,
                trace=trace,
                body=body,
            )
        machine.deliver(forward, result)


class FakeSwarm:
    """Hosts and the messages between them, delivered one by one by the event loop."""

    def __init__(self, count: int) -> None:
        peers = [Identity.from_seed(bytes([index + 1]) * 32).peer_id for index in range(count)]
        self.hosts = [FakeHost(self, peer) for peer in peers]
        self.links: dict[PeerId, FakeHost] = {host.peer_id: host for host in self.hosts}
        self.chains: list[Chain] = []
        self.sent: list[tuple[PeerId, Message]] = []
        """Everything the client sent, and to whom."""
        self.tamper: Callable[[Message], Message | None] = lambda message: message
        """Changes, or with None drops, what hosts say to the client."""

    def chain(self, *, private_ends: bool = False, positions: int = 512) -> Chain:
        """A chain over all hosts, in order, not yet opened."""
        hops = tuple(
            Hop(
                peer=host.peer_id,
                address=Address("192.0.2.1", 7000 + index),
                layers=LayerRange(index, index + 1),
                dtype=DType.FLOAT32,
                tail=index + 1 == len(self.hosts),
                link_s=0.0,
                stage_s=0.0,
            )
            for index, host in enumerate(self.hosts)
        )
        route = Route(model=MODEL, front=LayerRange(0, 0), hops=hops, private_ends=private_ends)
        spec = ChainSpec(route=route, me=CLIENT, hidden_size=HIDDEN, positions=positions, sampling=Sampling())
        ids = tuple(SessionId(bytes([len(self.chains), index]) + bytes(14)) for index in range(len(hops)))
        chain = Chain(spec, self.links, ids)
        self.chains.append(chain)
        return chain

    def post(self, sender: PeerId, host: FakeHost, message: Message) -> None:
        """Deliver a message to a host soon."""
        if sender == CLIENT:
            self.sent.append((host.peer_id, message))
        asyncio.get_running_loop().call_soon(host.receive, sender, message)

    def post_from(self, host: FakeHost, to: PeerId, message: Message) -> None:
        """Deliver a host's message soon."""
        loop = asyncio.get_running_loop()
        if to != CLIENT:
            if to in self.links:
                loop.call_soon(self.links[to].receive, host.peer_id, message)
            return
        changed = self.tamper(message)
        if changed is not None:
            for chain in self.chains:
                loop.call_soon(chain.on_message, host.peer_id, changed)

    def lose(self, host: FakeHost) -> None:
        """Cut the client's link to a host."""
        del self.links[host.peer_id]
        for chain in self.chains:
            chain.on_closed(host.peer_id, Code.CONNECTION_LOST, "the connection was reset")
