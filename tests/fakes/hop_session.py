"""The client's half of one session by itself: its machine, the steps it announces and the host's answers."""

from __future__ import annotations

from tests.fakes.session_chain import SESSIONS, opens, tensor
from wire.client_session import HopReady, HopSession
from wire.messages.forward import Credit, Forward, Output, Phase, Tokens
from wire.messages.session import Delivery, Open, Ready, Truncated
from wire.session_table import ClientState
from wire.tensors import DType

TAIL = opens()[2]


def step(number: int, *, position: int | None = None, count: int = 1, epoch: int = 0) -> Forward:
    """Step `number` of a session in which every step before it was one token."""
    return Forward(
        session=SESSIONS[0],
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


def tokens(
    number: int, *, position: int | None = None, epoch: int = 0, ids: tuple[int, ...] = (5,)
) -> Tokens:
    """The tail's answer to such a step."""
    end = number + 1 if position is None else position
    return Tokens(session=SESSIONS[2], epoch=epoch, step=number, position=end, ids=ids, trace=())


def output(
    number: int, *, epoch: int = 0, body: bytes = bytes(4), shape: tuple[int, ...] = (1, 1, 1)
) -> Output:
    """The last hop's answer to such a step with private ends."""
    return Output(
        session=SESSIONS[2],
        epoch=epoch,
        step=number,
        position=number,
        dtype=DType.FLOAT32,
        shape=shape,
        trace=(),
        body=body,
    )


def credit(number: int, *, epoch: int = 0) -> Credit:
    """Everything up to step `number` is consumed."""
    return Credit(session=SESSIONS[2], epoch=epoch, step=number)


def truncated(position: int, *, epoch: int = 1) -> Truncated:
    """A cut is made."""
    return Truncated(session=SESSIONS[2], epoch=epoch, position=position)


def ready(request: Open = TAIL) -> HopSession:
    """A session that the host has opened."""
    hop = HopSession(request, hidden_size=1)
    assert hop.messages_to_send() == [request]
    hop.receive(Ready(session=request.session))
    assert hop.events() == [HopReady()]
    return hop


def entered(state: ClientState, delivery: Delivery = Delivery.TOKENS) -> HopSession:
    """A session in this state, with nothing left to drain."""
    request = opens(delivery)[2]
    hop = HopSession(request, hidden_size=1) if state is ClientState.OPENING else ready(request)
    if state is ClientState.TRUNCATING:
        hop.truncate(0)
    if state is ClientState.CLOSED:
        hop.close()
    hop.events()
    hop.messages_to_send()
    return hop
