"""What happens while an answer is made, as values; the command line, the screen and scripts all read the same ones.

One answer is an asynchronous iterator of these, in this order: `Planned` (once, unless the route of the turn before
still stands), `Prefilling` (as the prompt advances), `TextDelta` (as text appears), `Finished` (once, last). A failure
is an exception of `chat.errors`, never an event, and status never enters the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from chat.route import Route
from crypto.identity import PeerId
from wire.types import LayerRange


class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """The limit on new tokens, or the end of the context, was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The hops that will carry this answer."""

    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilling:
    """How much of what is new in the prompt has passed through all hops."""

    done_tokens: int
    total_tokens: int
    reused_tokens: int
    """Tokens of the prompt whose KV state every hop already held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """New text; always whole characters."""

    text: str
    token_ids: tuple[int, ...]
    """The tokens behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStats:
    """Where one stage spent its time, per decode step (medians, in milliseconds)."""

    peer: PeerId | None
    """None for the client's own front layers."""
    layers: LayerRange
    compute_ms: float
    queue_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of one answer."""

    prompt_tokens: int
    reused_tokens: int
    answer_tokens: int
    first_token_s: float
    """From the question to the first token."""
    decode_tokens_per_s: float
    """Tokens after the first, over the time they took; 0 when there was only one."""
    links_ms: float
    """Median time of a decode step that no stage accounts for: links, encryption, sampling, scheduling."""
    hops: tuple[HopStats, ...]
    seed: int | None = None
    """With which the tokens were drawn, and can be drawn again; None when nothing was left to chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The answer is whole."""

    reason: FinishReason
    text: str
    """The whole answer."""
    stats: Stats


Event = Planned | Prefilling | TextDelta | Finished
