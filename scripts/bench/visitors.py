"""Clients that come, ask, change their mind, and leave in every way there is; several in one process.

Each is the client of `lamella` itself. What it was answered is compared with what the whole model answers, also the
part of an answer that was given up. What happens is told word by word: `came`, `answered`, `cancelled`, `left`,
`dropped` (its links were cut off), and `wrong` and `failed` with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chat.client import Client
from chat.driver import ClientOptions
from chat.errors import ChatError
from chat.events import TextDelta
from chat.session import AnswerOptions
from scripts.bench.forked import Tell, run_here
from scripts.bench.questions import DTYPE, Question
from wire.contacts import Contact

_ASKED: Final = (1, 6)
"""How often a visitor asks before it leaves."""
_STOPS: Final = 0.2
"""How many answers are given up after some of their tokens, as a person does who has read enough."""
_INTERRUPTS: Final = 0.2
"""How many are cancelled at any moment, of the start of a session too."""
_DROPS: Final = 0.25
"""How many visits end without a word."""
_SOON_S: Final = 0.5
"""An answer that is interrupted is so within this time."""
_KNOWN: Final = 3
"""Identities that a visitor comes back with."""
CONTEXT: Final = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """What visitors of one process do."""

    model: str
    contacts: tuple[Contact, ...]
    questions: tuple[Question, ...]
    folder: Path
    """For their identities."""
    visitors: int
    seed: int
    ends_at: float
    """When the last visit begins, by the clock of the system that nobody sets."""
    most: int | None = None
    """Visits of each, at the most."""
    polite: bool = False
    """Whether all answers are waited for, and nobody goes without a word."""


def visit(tell: Tell, visits: Visits) -> None:
    """Run visitors until their time is over. Called in a process of its own."""
    run_here(_all(tell, visits))
    tell("over", None)


async def _all(tell: Tell, visits: Visits) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(visits.visitors):
            group.create_task(_Visitor(tell, visits, number).run())


class NoText:
    """Only ids are compared."""

    def feed(self, token: int) -> str:
        """Return nothing."""
        return ""

    def finish(self) -> str:
        """Return nothing."""
        return ""


class _Visitor:
    def __init__(self, tell: Tell, visits: Visits, number: int) -> None:
        self._tell = tell
        self._visits = visits
        self._random = random.Random(f"{visits.seed}/{number}")
        self._name = f"{visits.seed}-{number}"

    async def run(self) -> None:
        done = 0
        while done != self._visits.most and time.monotonic() < self._visits.ends_at:
            await self._visit()
            done += 1

    async def _visit(self) -> None:
        rolled, visits = self._random, self._visits
        sampling = rolled.choice(visits.questions).sampling
        asked = [one for one in visits.questions if one.sampling == sampling]
        client = Client(
            ClientOptions(
                model=visits.model,
                contacts=visits.contacts,
                identity_file=visits.folder / f"{self._name}-{rolled.randrange(_KNOWN)}",
                dtype=DTYPE,
                threads=1,
                context=CONTEXT,
                sampling=sampling,
                dht=rolled.random() < 0.5,
            )
        )
        try:
            await client.start(lambda _: None)
            self._tell("came", None)
            for _ in range(rolled.randint(*_ASKED)):
                await self._ask(client, asked)
                if rolled.random() < 0.2:
                    await client.reset()
            if not visits.polite and rolled.random() < _DROPS:
                await self._drop(client, asked)
            else:
                self._tell("left", None)
        except ChatError as error:
            self._tell("failed", f"{type(error).__name__}: {error}")
        finally:
            await client.close()

    async def _ask(self, client: Client, asked: Sequence[Question]) -> None:
        question, rolled = self._random.choice(asked), self._random.random()
        if self._visits.polite or rolled >= _STOPS + _INTERRUPTS:
            await self._answer(client, question, len(question.expected))
        elif rolled < _STOPS:
            await self._answer(client, question, self._random.randint(1, len(question.expected) - 1))
        else:
            try:
                async with asyncio.timeout(self._random.uniform(0, _SOON_S)):
                    await self._answer(client, question, len(question.expected))
            except TimeoutError:
                self._tell("cancelled", None)

    async def _answer(self, client: Client, question: Question, count: int) -> None:
        """Take the first `count` tokens of an answer and compare them."""
        options = AnswerOptions(
            stop_ids=frozenset(),
            max_tokens=len(question.expected),
            positions=CONTEXT,
            sampling=question.sampling,
        )
        drawn: list[int] = []
        async with contextlib.aclosing(client.session.answer(question.ids, NoText(), options)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    drawn += event.token_ids
                if len(drawn) == count < len(question.expected):
                    break
        if tuple(drawn) != question.expected[:count]:
            self._tell("wrong", f"{drawn} instead of {list(question.expected[:count])}")
        else:
            self._tell("answered" if count == len(question.expected) else "cancelled", count)

    async def _drop(self, client: Client, asked: Sequence[Question]) -> None:
        """Cut all links off in mid-answer, as a machine does that loses its network, and do not come back to it."""
        question = self._random.choice(asked)
        answering = asyncio.create_task(self._answer(client, question, len(question.expected)))
        await asyncio.wait([answering], timeout=self._random.uniform(0, _SOON_S))
        # A client has no way to leave like this, which is why its links are reached for.
        swarm = client._swarm  # the client's own
        for link in list(swarm.pool.links.values()) if swarm is not None else ():
            link.abort()
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError, ChatError):
            await answering
        self._tell("dropped", None)
