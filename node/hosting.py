"""Which slices this process serves, and which of them a session can use. Pure lookups; loading is the daemon's.

Spec: `specs/forward.md` §Hosting.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from node.slices import beside
from node.slices.slice import Slice
from wire import limits
from wire.codes import Code
from wire.fields import Text
from wire.messages.hosting import Offer
from wire.messages.session import Delivery, Open
from wire.tensors import DType, WeightFormat, numerics
from wire.types import LayerRange, ModelId

_STEP_SAMPLES: Final = 64
_NAME: Final = Text(limits.MAX_AGENT_CHARS)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedSlice:
    """One slice, loaded and ready."""

    model: ModelId
    name: str
    dtype: DType
    slice: Slice
    weights: WeightFormat = WeightFormat.NATIVE
    step_us: deque[int] = field(default_factory=lambda: deque(maxlen=_STEP_SAMPLES))
    """The latest decode steps over the whole slice."""

    @property
    def layers(self) -> LayerRange:
        """The layers held."""
        return self.slice.spec.layers

    def token_ids(self, layers: LayerRange) -> int:
        """How many token ids there are, where sessions over `layers` need those of their tokens; else 0."""
        return self.slice.vocab_size if self.slice.needs_tokens(layers) else 0

    def offer(self, *, free_kv_bytes: int, sessions: int) -> Offer:
        """What the host says of this slice to a peer."""
        return Offer(
            model=self.model,
            name=_NAME.fit(self.name),
            layers=self.layers,
            head=self.slice.spec.head,
            num_layers=self.slice.num_layers,
            dtype=self.dtype,
            weights=self.weights,
            tokens_until=self.slice.tokens_until,
            max_positions=min(self.slice.max_positions, limits.MAX_POSITIONS),
            free_kv_bytes=free_kv_bytes,
            sessions=sessions,
            step_us=int(statistics.median(self.step_us)) if self.step_us else 0,
        )


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """Why no slice here can take a session."""

    code: Code
    detail: str


def choose(slices: tuple[HostedSlice, ...], opened: Open) -> HostedSlice | Unsuitable:
    """Return the slice that serves a request, the smallest of several, or why none does."""
    of_model = [one for one in slices if one.model == opened.model]
    if not of_model:
        return Unsuitable(Code.NOT_HOSTING, f"no slice of model {opened.model.short} is served here")
    covering = [one for one in of_model if one.layers.covers(opened.layers) and len(opened.layers) > 0]
    if not covering:
        held = ", ".join(str(one.layers) for one in of_model)
        return Unsuitable(Code.NOT_HOSTING, f"layers {opened.layers} are not served here, only {held}")
    stretch = beside.parted(covering[0].slice.joined, opened.layers)
    if stretch is not None:
        return Unsuitable(Code.NOT_HOSTING, beside.words(stretch))
    if opened.delivery is Delivery.TOKENS:
        covering = [
            one for one in covering if one.slice.spec.head and opened.layers.end == one.slice.num_layers
        ]
        if not covering:
            return Unsuitable(
                Code.NOT_HOSTING, "the head of this model is not served here, so tokens cannot be drawn"
            )
    alike = [one for one in covering if (one.dtype, one.weights) == (opened.dtype, opened.weights)]
    if not alike:
        served = ", ".join(sorted({numerics(one.dtype, one.weights) for one in covering}))
        asked = numerics(opened.dtype, opened.weights)
        return Unsuitable(Code.NUMERICS, f"the slice computes in {served}, not in {asked}")
    fitting = [one for one in alike if opened.positions <= one.slice.max_positions]
    if not fitting:
        most = max(one.slice.max_positions for one in alike)
        return Unsuitable(
            Code.CONTEXT_TOO_LONG, f"this model takes {most} positions, {opened.positions} were asked for"
        )
    return min(fitting, key=lambda one: len(one.layers))
