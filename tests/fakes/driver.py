"""A driver that plays a script: what it answers, where it waits and how it fails are said beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from chat.errors import ChatError
from chat.events import Event, Finished, FinishReason, HopStats, Planned, Prefilling, Stats, TextDelta
from chat.route import Hop, Route
from crypto.identity import PeerId
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL: Final = ModelId(bytes(range(32)))
PEERS: Final = tuple(PeerId(bytes((number * 40 + n) % 256 for n in range(32))) for number in range(1, 4))

Step = Event | ChatError | asyncio.Event
"""An event is given on, an error raised, a gate waited for."""


def route(*, private_ends: bool = False) -> Route:
    """A route over three hosts, of a model of 24 layers whose first is computed here."""
    bounds = (1, 8, 16, 24)
    return Route(
        model=MODEL,
        front=LayerRange(0, 1),
        hops=tuple(
            Hop(
                peer=peer,
                address=Address("192.0.2.7", 7311 + index),
                layers=LayerRange(bounds[index], bounds[index + 1]),
                dtype=DType.BFLOAT16,
                tail=index == 2 and not private_ends,
                link_s=0.012,
                stage_s=0.004,
            )
            for index, peer in enumerate(PEERS)
        ),
        private_ends=private_ends,
    )


def stats(*, answer_tokens: int = 12, reused_tokens: int = 0) -> Stats:
    """The figures of an answer over `route()`."""
    path = route()
    hops = [HopStats(peer=None, layers=path.front, compute_ms=0.41, queue_ms=0.0)]
    hops += [HopStats(peer=hop.peer, layers=hop.layers, compute_ms=4.25, queue_ms=0.08) for hop in path.hops]
    return Stats(
        prompt_tokens=31,
        reused_tokens=reused_tokens,
        answer_tokens=answer_tokens,
        first_token_s=0.213,
        decode_tokens_per_s=37.5,
        links_ms=12.5,
        hops=tuple(hops),
    )


def answer(text: str, *, planned: bool = True, reason: FinishReason = FinishReason.STOP) -> list[Step]:
    """The events of a whole answer, one word a token."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    deltas = [TextDelta(text=word, token_ids=(index,)) for index, word in enumerate(words)]
    figures = stats(answer_tokens=len(deltas), reused_tokens=0 if planned else 40)
    return [
        *([Planned(route=route())] if planned else []),
        Prefilling(done_tokens=31, total_tokens=31, reused_tokens=figures.reused_tokens),
        *deltas,
        Finished(reason=reason, text=text, stats=figures),
    ]


class FakeDriver:
    """Plays one script a question, and keeps what it was asked."""

    model_name = "pocket"
    model_id = MODEL

    def __init__(self, *scripts: Iterable[Step]) -> None:
        self._scripts = list(scripts)
        self.questions: list[str] = []
        self.cancelled: list[str] = []
        """Questions whose answer was given up before its end."""
        self.resets = 0
        self.closed = False

    async def ask(self, text: str) -> AsyncIterator[Event]:
        """Play the next script."""
        self.questions.append(text)
        script: Sequence[Step] = list(self._scripts.pop(0)) if self._scripts else []
        whole = False
        try:
            for step in script:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, ChatError):
                    whole = True
                    raise step
                else:
                    yield step
            whole = True
        finally:
            if not whole:
                self.cancelled.append(text)

    async def reset(self) -> None:
        """Count."""
        self.resets += 1

    async def close(self) -> None:
        """Remember."""
        self.closed = True
