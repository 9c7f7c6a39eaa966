"""Clients in one process that ask a host without a pause, and how many tokens they are answered at every moment.

What they tell: `running` when each has begun an answer, `drawn` with pairs of time and tokens drawn so far, `wrong`
and `failed` with the reason. `Pace` makes a speed of the pairs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chat.client import Client
from chat.driver import ClientOptions
from chat.errors import ChatError
from chat.events import TextDelta
from chat.session import AnswerOptions
from scripts.bench.forked import Forked, Tell, run_here
from scripts.bench.questions import DTYPE, Question
from scripts.bench.visitors import CONTEXT, NoText
from wire.contacts import Contact

TELL_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of whom, and by how many."""

    model: str
    contacts: tuple[Contact, ...]
    questions: tuple[Question, ...]
    """All drawn alike."""
    clients: int
    folder: Path
    """For their identities."""


def ask_on(tell: Tell, asked: Asked) -> None:
    """Ask until killed. Called in a process of its own."""
    run_here(_Crowd(tell, asked).run())


class _Crowd:
    def __init__(self, tell: Tell, asked: Asked) -> None:
        self._tell = tell
        self._asked = asked
        self._drawn = 0
        self._running: set[int] = set()

    async def run(self) -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            group.create_task(self._count())
            for number in range(self._asked.clients):
                client = self._client(number)
                stack.push_async_callback(client.close)
                await client.start(lambda _: None)
                group.create_task(self._ask_on(client, number))

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self._tell("drawn", (time.monotonic(), self._drawn))

    def _client(self, number: int) -> Client:
        asked = self._asked
        return Client(
            ClientOptions(
                model=asked.model,
                contacts=asked.contacts,
                identity_file=asked.folder / f"steady-{number}",
                dtype=DTYPE,
                threads=1,
                context=CONTEXT,
                sampling=asked.questions[0].sampling,
                dht=False,
            )
        )

    async def _ask_on(self, client: Client, number: int) -> None:
        try:
            for turn in itertools.count():
                await self._ask(client, self._asked.questions[(number + turn) % len(self._asked.questions)])
                self._running.add(number)
                if len(self._running) == self._asked.clients:
                    self._tell("running", None)
                    self._running.add(-1)
                # The session stays open, so that the host has no room for another.
        except ChatError as error:
            self._tell("failed", f"{type(error).__name__}: {error}")

    async def _ask(self, client: Client, question: Question) -> None:
        options = AnswerOptions(
            stop_ids=frozenset(),
            max_tokens=len(question.expected),
            positions=CONTEXT,
            sampling=question.sampling,
        )
        drawn: list[int] = []
        async with aclosing(client.session.answer(question.ids, NoText(), options)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    drawn += event.token_ids
                    self._drawn += len(event.token_ids)
        if tuple(drawn) == question.expected:
            self._tell("answered", None)
        else:
            self._tell("wrong", f"{drawn} instead of {list(question.expected)}")


def _nothing() -> None:
    """Nobody else is heard."""


class Pace:
    """What a crowd tells, collected."""

    def __init__(self, crowd: Forked) -> None:
        self.crowd = crowd
        self.answered = 0
        self.wrong: list[str] = []
        self.failed: list[str] = []
        self._times: list[float] = []
        self._drawn: list[int] = []

    def hear(self) -> None:
        """Take what was told since the last time; often enough that the pipe does not fill."""
        for word, detail in self.crowd.heard():
            match word:
                case "drawn":
                    self._times.append(detail[0])
                    self._drawn.append(detail[1])
                case "wrong":
                    self.wrong.append(str(detail))
                case "failed":
                    self.failed.append(str(detail))
                case "answered":
                    self.answered += 1

    async def hear_for(self, seconds: float, also: Callable[[], None] = _nothing) -> tuple[float, float]:
        """Hear for a while, and call `also` as often; returns when that began and ended."""
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(left, TELL_EVERY_S))
            self.hear()
            also()
        return began, time.monotonic()

    def tokens_per_s(self, window: tuple[float, float]) -> float:
        """How fast all were answered between two moments."""
        return (self._at(window[1]) - self._at(window[0])) / (window[1] - window[0])

    def _at(self, moment: float) -> float:
        return interpolated(self._times, self._drawn, moment)


def interpolated(times: Sequence[float], values: Sequence[int], moment: float) -> float:
    """What a value that only rises was at a moment between those it was told at; at most what it was at last."""
    index = bisect_left(times, moment)
    if index == 0 or index == len(times):
        return float(values[min(index, len(values) - 1)]) if values else 0.0
    share = (moment - times[index - 1]) / (times[index] - times[index - 1])
    return values[index - 1] + share * (values[index] - values[index - 1])
