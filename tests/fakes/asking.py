"""An honest client that asks in token ids, so that its answers can be compared with the whole model's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from chat.client import Client
from chat.driver import ClientOptions
from chat.events import TextDelta
from chat.session import AnswerOptions, AnswerSession
from wire.contacts import Contact
from wire.types import Sampling

CONTEXT: Final = 448


class NoText:
    """Tokens of random weights are not text."""

    def feed(self, token: int) -> str:
        """Return nothing."""
        return ""

    def finish(self) -> str:
        """Return nothing."""
        return ""


@asynccontextmanager
async def client(
    model: Path, contacts: Sequence[Contact], identity: Path, **options: Any
) -> AsyncIterator[Client]:
    """A started client, closed at the end; `options` are those of `ClientOptions`."""
    options = {"dtype": "float32", "threads": 1, "context": CONTEXT, **options}
    asking = Client(
        ClientOptions(model=str(model), contacts=tuple(contacts), identity_file=identity, **options)
    )
    try:
        await asking.start(lambda _: None)
        yield asking
    finally:
        await asking.close()


def answer_options(count: int, sampling: Sampling | None = None) -> AnswerOptions:
    """An answer of exactly `count` tokens."""
    return AnswerOptions(
        stop_ids=frozenset(), max_tokens=count, positions=CONTEXT, sampling=sampling or Sampling()
    )


async def tokens(session: AnswerSession, ids: Sequence[int], count: int) -> list[int]:
    """The tokens the chain answers `ids` with."""
    drawn: list[int] = []
    async for event in session.answer(ids, NoText(), answer_options(count)):
        if isinstance(event, TextDelta):
            drawn += event.token_ids
    return drawn
