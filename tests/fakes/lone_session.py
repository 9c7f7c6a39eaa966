"""A host's session by itself: a machine for the middle of a route or its tail, and the messages of its peers."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.session_chain import CLIENT, SESSIONS, opens, tensor
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Phase, Tokens
from wire.messages.session import Abort, Delivery, Open, Ready, Refused, Truncate
from wire.session import CutRequested, Ended, HostedSession, StepArrived, To
from wire.session_table import HostState
from wire.tensors import DType

MIDDLE, TAIL = opens()[1], opens()[2]


def step(
    number: int, *, position: int | None = None, count: int = 1, epoch: int = 0, hop: int = 1
) -> Forward:
    """Step `number` of a session in which every step before it was one token."""
    return Forward(
        session=SESSIONS[hop],
        epoch=epoch,
        step=number,
        position=number if position is None else position,
        phase=Phase.DECODE,
        sample=True,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, 1),
        trace=(),
        body=tensor([0] * count),
    )


def tokens(forward: Forward) -> Tokens:
    """The tail's answer to a step."""
    end = forward.position + forward.count
    return Tokens(
        session=SESSIONS[2], epoch=forward.epoch, step=forward.step, position=end, ids=(5,), trace=()
    )


def opened(request: Open = MIDDLE) -> HostedSession:
    """A session that has just been opened."""
    machine = HostedSession(request, client=CLIENT, hidden_size=1, now=0.0)
    machine.accept()
    assert machine.messages_to_send() == [(To.CLIENT, Ready(session=request.session))]
    return machine


def feed(machine: HostedSession, *messages: Message, now: float = 1.0) -> None:
    """Give messages to a machine, each from whoever may send it."""
    for message in messages:
        match message:
            case Forward():
                sender = machine.opened.upstream
            case Credit() | Abort():
                sender = machine.peer(To.NEXT)
            case _:
                sender = CLIENT
        assert machine.receive(message, sender=sender, now=now)


def compute(machine: HostedSession) -> int:
    """Compute everything announced, as a host does; returns how many steps that was."""
    done = 0
    for event in machine.events():
        if isinstance(event, StepArrived):
            result = replace(event.forward, session=SESSIONS[2])
            machine.deliver(
                event.forward, result if machine.opened.delivery is Delivery.NEXT else tokens(event.forward)
            )
            done += 1
        elif isinstance(event, CutRequested):
            machine.cut_done(event, event.position)
    return done


def assert_ended(machine: HostedSession, code: Code) -> None:
    """The session ended with `code`, the client is told, and nothing is left to do."""
    assert machine.state is HostState.CLOSED
    (event,) = machine.events()
    assert isinstance(event, Ended)
    assert event.code is code
    told = [message for to, message in machine.messages_to_send() if to is To.CLIENT]
    assert isinstance(told[-1], Abort | Refused)
    assert told[-1].code == code
    assert machine.next_timeout() is None


def cut(position: int, *, epoch: int = 1, next_step: int = 4) -> Truncate:
    """A cut of the middle session after four steps."""
    return Truncate(session=SESSIONS[1], epoch=epoch, position=position, next_step=next_step)


def after_four_steps() -> HostedSession:
    """A session in the middle that has passed on four steps of one token."""
    machine = opened()
    feed(machine, *map(step, range(4)))
    compute(machine)
    machine.messages_to_send()
    return machine
