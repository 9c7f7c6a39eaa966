"""The steps of a session: hidden states forward, tokens back, credit. Spec: `specs/forward.md` §Steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from wire import limits
from wire.fields import DTYPE, SESSION_ID, SHAPE, Bool, Float, Maybe, Nested, OneOf, Several, UInt
from wire.messages.base import Body, Message, register
from wire.tensors import DType, TensorSpec
from wire.types import SessionId

_POSITION = UInt(limits.MAX_POSITIONS)
_STEP = UInt(limits.MAX_STEP)
_TOKEN = UInt(limits.MAX_VOCABULARY)
_MICROSECONDS = UInt(1 << 40)
LEAST_LOGPROB: Final = -1e30
"""Stands for minus infinity, which no field carries."""


class Phase(Enum):
    """What a step is for; hosts serve decode steps first."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class HopTime:
    """Where one hop spent one step, in microseconds; appended by the hop itself, so a claim and not a proof."""

    queue_us: int
    compute_us: int


HOP_TIME = Nested(HopTime, {"queue_us": _MICROSECONDS, "compute_us": _MICROSECONDS})
TRACE = Several(HOP_TIME, limits.MAX_HOPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A token and the natural logarithm of its probability before filters, at temperature 1."""

    token: int
    logprob: float


ALTERNATIVE = Nested(Alternative, {"token": _TOKEN, "logprob": Float(LEAST_LOGPROB, 0.0)})


@register(48, "forward", sender="client or host, to the next hop")
@dataclass(frozen=True, slots=True, kw_only=True)
class Forward(Message):
    """One step's hidden states for the next hop."""

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _STEP]
    step: Annotated[int, _STEP]
    """Counts up by one; a repeated step is ignored, a gap ends the session."""
    position: Annotated[int, _POSITION]
    """Position of the first token; equals the positions the hop already holds."""
    phase: Annotated[Phase, OneOf(Phase)]
    sample: Annotated[bool, Bool()]
    """Whether the tail answers this step with a token drawn at its last position."""
    count: Annotated[int, _POSITION]
    """Tokens in this step, T."""
    dtype: Annotated[DType, DTYPE]
    shape: Annotated[tuple[int, ...], SHAPE]
    """`[1, T, W]`."""
    tokens: Annotated[tuple[int, ...] | None, Maybe(Several(_TOKEN, limits.MAX_STEP_TOKENS, least=1))] = None
    """The ids of the step's T tokens, for layers that need them; absent everywhere else, for privacy."""
    trace: Annotated[tuple[HopTime, ...], TRACE]
    body: Body

    @property
    def tensor(self) -> TensorSpec:
        """Dtype and shape of the body. Raises `InvalidValue` when they cannot be a tensor's."""
        return TensorSpec(self.dtype, self.shape)


@register(49, "output", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Message):
    """The hidden states of a step's last position, for the client itself (private ends)."""

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _STEP]
    step: Annotated[int, _STEP]
    position: Annotated[int, _POSITION]
    """The position these hidden states stand at: the step's last."""
    dtype: Annotated[DType, DTYPE]
    shape: Annotated[tuple[int, ...], SHAPE]
    """`[1, 1, W]`."""
    trace: Annotated[tuple[HopTime, ...], TRACE]
    body: Body

    @property
    def tensor(self) -> TensorSpec:
        """Dtype and shape of the body. Raises `InvalidValue` when they cannot be a tensor's."""
        return TensorSpec(self.dtype, self.shape)


@register(50, "tokens", sender="tail host, to the client")
@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Message):
    """The tail's answer to one step: the ids it drew, never logits.

    A step that asked for no sample is answered too, with no ids, so that the client sees prefill advance.
    """

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _STEP]
    step: Annotated[int, _STEP]
    position: Annotated[int, _POSITION]
    """The position the first of `ids` will take: one past the step's last."""
    ids: Annotated[tuple[int, ...], Several(_TOKEN, limits.MAX_TOKENS_PER_MESSAGE)]
    logprobs: Annotated[
        tuple[Alternative, ...] | None, Maybe(Several(ALTERNATIVE, limits.MAX_LOGPROBS + 1))
    ] = None
    """For the drawn token first, then the likeliest others, when the session asked for them."""
    trace: Annotated[tuple[HopTime, ...], TRACE]


@register(51, "credit", sender="receiver of forward, to its sender")
@dataclass(frozen=True, slots=True, kw_only=True)
class Credit(Message):
    """All steps up to and including `step` are consumed: the sender may be a window beyond it."""

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _STEP]
    step: Annotated[int, _STEP]
