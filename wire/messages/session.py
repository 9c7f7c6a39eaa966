"""A session's life on one host: opened, cut back, ended. Spec: `specs/forward.md` §Sessions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from crypto.identity import PeerId
from wire import limits
from wire.errors import BadMessage
from wire.fields import (
    ADDRESS,
    DTYPE,
    LAYERS,
    MODEL_ID,
    PEER_ID,
    SAMPLING,
    SESSION_ID,
    WEIGHTS,
    Maybe,
    OneOf,
    Text,
    UInt,
)
from wire.messages.base import Message, register
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId, Relayed, Sampling, SessionId

_POSITION = UInt(limits.MAX_POSITIONS)
_STEP = UInt(limits.MAX_STEP)
_EPOCH = UInt(limits.MAX_STEP)
DETAIL = Text(limits.MAX_DETAIL_CHARS)


class Delivery(Enum):
    """Where a hop's result goes."""

    NEXT = "next"
    """Hidden states, to the next hop."""
    TOKENS = "tokens"
    """The hop is the tail: it samples and sends token ids to the client."""
    HIDDEN = "hidden"
    """Hidden states of a step's last position, to the client (private ends)."""


@register(32, "open", sender="client")
@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message):
    """Asks a host to hold a session over layers of a slice it serves. Answered by `ready` or `refused`."""

    session: Annotated[SessionId, SESSION_ID]
    model: Annotated[ModelId, MODEL_ID]
    layers: Annotated[LayerRange, LAYERS]
    dtype: Annotated[DType, DTYPE]
    """The numerics the client planned with; a host that computes in others refuses."""
    weights: Annotated[WeightFormat, WEIGHTS] = WeightFormat.NATIVE
    """How the client expects the weights to be kept; a host that keeps them otherwise refuses."""
    upstream: Annotated[PeerId, PEER_ID]
    """The one peer whose `forward` messages the session takes: the hop before, or the client itself."""
    delivery: Annotated[Delivery, OneOf(Delivery)]
    next_peer: Annotated[PeerId | None, Maybe(PEER_ID)] = None
    """With delivery `next`: who the next hop must prove to be."""
    next_address: Annotated[Address | None, Maybe(ADDRESS)] = None
    """With delivery `next`: where to dial it."""
    next_relay: Annotated[PeerId | None, Maybe(PEER_ID)] = None
    """With delivery `next`: the relay at `next_address` that carries the link; absent when the next hop is there."""
    next_session: Annotated[SessionId | None, Maybe(SESSION_ID)] = None
    """With delivery `next`: the session's id there. Each hop has an id of its own, so that a peer may be two hops."""
    sampling: Annotated[Sampling | None, Maybe(SAMPLING)] = None
    """With delivery `tokens`: how to draw."""
    logprobs: Annotated[int, UInt(limits.MAX_LOGPROBS)] = 0
    """With delivery `tokens`: how many alternatives to report per token; 0 reports none."""
    positions: Annotated[int, _POSITION]
    """The most positions the session will use; the host reserves KV memory for them before it answers."""

    @property
    def next_where(self) -> Address | Relayed | None:
        """With delivery `next`: how the next hop is reached."""
        if self.next_address is None or self.next_relay is None:
            return self.next_address
        return Relayed(self.next_relay, self.next_address)


@register(33, "ready", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message):
    """The session is open, its memory reserved and its next hop connected."""

    session: Annotated[SessionId, SESSION_ID]


@register(34, "refused", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Message):
    """The session is not opened."""

    session: Annotated[SessionId, SESSION_ID]
    code: Annotated[int, UInt(65_535)]
    detail: Annotated[str, DETAIL]
    retry_after_ms: Annotated[int | None, Maybe(UInt(86_400_000))] = None
    """When asking again may help."""


@register(35, "truncate", sender="client")
@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Message):
    """Drops all positions from `position` on and every step under way; answered by `truncated`.

    The client sends it to every hop and waits for every answer before it sends a step of the new epoch, or cuts
    again, so a `forward` of an older epoch that is still between two hosts is recognised and dropped.
    """

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _EPOCH]
    """One more than the epoch before; 0 is the epoch a session opens in."""
    position: Annotated[int, _POSITION]
    """At most the positions of steps that have been answered: only those are known to be held by every hop."""
    next_step: Annotated[int, _STEP]
    """The number of the first step of the new epoch."""


@register(36, "truncated", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated(Message):
    """The cut is made and the memory is free."""

    session: Annotated[SessionId, SESSION_ID]
    epoch: Annotated[int, _EPOCH]
    position: Annotated[int, _POSITION]
    """Positions the host now holds: as many as were asked for."""


@register(37, "close", sender="client")
@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Message):
    """Ends the session; the host drops its steps and frees its memory."""

    session: Annotated[SessionId, SESSION_ID]


@register(38, "abort", sender="host")
@dataclass(frozen=True, slots=True, kw_only=True)
class Abort(Message):
    """The host ended the session; its memory is free and no further step is taken."""

    session: Annotated[SessionId, SESSION_ID]
    code: Annotated[int, UInt(65_535)]
    detail: Annotated[str, DETAIL]


def check_open(opened: Open) -> None:
    """Check that a request to open a session does not contradict itself. Raises `BadMessage`."""
    following = (opened.next_peer, opened.next_address, opened.next_session)
    if opened.delivery is Delivery.NEXT and None in following:
        raise BadMessage("open: delivery next needs next_peer, next_address and next_session")
    if opened.delivery is not Delivery.NEXT and following != (None, None, None):
        raise BadMessage("open: only delivery next has a next hop")
    if opened.next_relay is not None and (opened.next_peer is None or opened.next_relay == opened.next_peer):
        raise BadMessage("open: a relay carries links to others, not to itself")
    if opened.next_session == opened.session:
        raise BadMessage("open: each hop has a session id of its own")
    if (opened.delivery is Delivery.TOKENS) != (opened.sampling is not None):
        raise BadMessage("open: sampling goes with delivery tokens, and only with it")
    if opened.logprobs and opened.delivery is not Delivery.TOKENS:
        raise BadMessage("open: logprobs go with delivery tokens")
    if opened.positions < 1:
        raise BadMessage("open: a session needs at least one position")
