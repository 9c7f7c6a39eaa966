"""Soaks two hosts in clients that come, ask, cancel and vanish, and looks for wrong answers and for what stays behind.

    python -m scripts.bench.soak                      # 30 minutes, eight clients, the pocket model
    python -m scripts.bench.soak --minutes 3 --json

The hosts are `lamella-node` processes. Five clients share a process; three have one each, which is killed in the midst
of whatever it does, every other time after it was stopped for so long that hosts have to notice by themselves. Every
answer is compared with the whole model's. Exits with 1 when a bar is missed: a wrong or failed answer; a session,
link, task, descriptor or KV memory that is left when all are gone; memory that has grown by more than 2 % after the
warm-up.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scripts.bench import daemons, machine, options, soak_verdict
from scripts.bench.daemons import Daemon
from scripts.bench.forked import Forked
from scripts.bench.questions import DTYPE, Question, prompts, tell_answered
from scripts.bench.sampling import Sample, Sampler, sampling
from scripts.bench.soak_verdict import Found
from scripts.bench.vanishing import Vanishing
from scripts.bench.visitors import Visits, visit

RANGES: Final = ("1:9", "9:24")
VANISHING: Final = 3
"""Of the clients, those that are killed."""
_START_TIMEOUT_S: Final = 120.0
_LEAVE_TIMEOUT_S: Final = 60.0
"""For the last visits to end."""
SETTLE_S: Final = 30.0
"""For hosts to notice that everybody has gone; a peer that says nothing is given up after six seconds."""
_TOLD_EVERY_S: Final = 5.0
_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is soaked, for how long, and by whom."""

    model: str
    seconds: float
    clients: int = 8
    questions: int = 24
    tokens: int = 32
    """Of every answer that is not given up."""
    seed: int = 1
    sample_every_s: float = 1.0
    judges_growth: bool = True


class Soak:
    """One soak of hosts that run."""

    def __init__(
        self, terms: Terms, hosts: Sequence[Daemon], folder: Path, say: Callable[[str], None]
    ) -> None:
        """`folder` is for the identities of clients; `say` is told the progress, now and then."""
        self._terms = terms
        self._hosts = hosts
        self._folder = folder
        self._say = say
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, list[str]] = {"wrong": [], "failed": []}
        self._samples: list[list[Sample]] = []

    async def run(self) -> Found:
        """Soak, and return what was found. Raises `RuntimeError` when clients cannot even be started."""
        questions = await asyncio.to_thread(self._questions)
        async with sampling(self._hosts) as sampler:
            visits = self._visits(questions)
            first = Forked(visit, replace(visits, visitors=1, most=1, polite=True))
            try:
                await asyncio.to_thread(first.wait_for, "over", _START_TIMEOUT_S)
            finally:
                await asyncio.to_thread(first.end)
            baseline, _ = await sampler.until(lambda now: not any(one.sessions for one in now), SETTLE_S)
            began = time.monotonic()
            await self._crowd(visits, sampler)
            seconds = time.monotonic() - began
            after, _ = await sampler.until(
                lambda now: not any(a.beyond(b) for a, b in zip(now, baseline, strict=True)), SETTLE_S
            )
        return Found(
            seconds=seconds,
            counts=self._counts,
            wrong=tuple(self._reasons["wrong"]),
            failed=tuple(self._reasons["failed"]),
            baseline=tuple(baseline),
            samples=tuple(tuple(one) for one in zip(*self._samples, strict=True)),
            after=tuple(after),
            judges_growth=self._terms.judges_growth,
        )

    def _questions(self) -> tuple[Question, ...]:
        terms = self._terms
        asked = prompts(terms.questions, most_tokens=96)
        answering = Forked(tell_answered, terms.model, asked, terms.tokens)
        try:
            return tuple(answering.wait_for("questions", _START_TIMEOUT_S))
        finally:
            answering.end()

    def _visits(self, questions: tuple[Question, ...]) -> Visits:
        return Visits(
            model=self._terms.model,
            contacts=tuple(one.contact for one in self._hosts),
            questions=questions,
            folder=self._folder,
            visitors=self._terms.clients - VANISHING,
            seed=self._terms.seed,
            ends_at=time.monotonic() + _START_TIMEOUT_S,
        )

    async def _crowd(self, visits: Visits, sampler: Sampler) -> None:
        """Let everybody in, and look at the hosts until all have left."""
        ends_at = time.monotonic() + self._terms.seconds
        visits = replace(visits, ends_at=ends_at)
        crowd = Forked(visit, visits)
        vanishing = [
            Vanishing(replace(visits, visitors=1, most=None, seed=visits.seed + 1 + number), self._hear)
            for number in range(VANISHING)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look(sampler, ends_at))
                for one in vanishing:
                    group.create_task(one.run(random.Random(visits.seed), ends_at))
                group.create_task(self._listen(crowd, ends_at + _LEAVE_TIMEOUT_S))
        finally:
            for forked in (crowd, *(one.process for one in vanishing if one.process is not None)):
                await asyncio.to_thread(forked.end)

    async def _listen(self, crowd: Forked, deadline: float) -> None:
        """Hear what the visitors of one process tell until all have left."""
        while time.monotonic() < deadline:
            for word, detail in crowd.heard():
                if word == "over":
                    return
                self._hear(word, detail)
            if not crowd.process.is_alive():
                break
            await asyncio.sleep(_POLL_S)
        self._hear("failed", "the visitors did not come to their end")

    def _hear(self, word: str, detail: object) -> None:
        self._counts[word] += 1
        if word in self._reasons:
            self._reasons[word].append(str(detail))
            self._say(f"{word}: {detail}")

    async def _look(self, sampler: Sampler, ends_at: float) -> None:
        began = told = time.monotonic()
        while (now := time.monotonic()) < ends_at:
            self._samples.append(await sampler.look())
            if now - told >= _TOLD_EVERY_S:
                told = now
                self._say(self._progress(now - began))
            await asyncio.sleep(self._terms.sample_every_s)

    def _progress(self, seconds: float) -> str:
        hosts = "; ".join(
            f"{one.resident_bytes / 1e6:.1f} MB, {one.files} files, {one.tasks} tasks, {one.links} links, "
            f"{one.sessions} sessions, {one.late_s:.1f} s late"
            for one in self._samples[-1]
        )
        told = " ".join(f"{word} {count}" for word, count in sorted(self._counts.items()))
        return f"{seconds:6.0f} s  {told} | {hosts}"


def main() -> int:
    """Soak and print. Returns the exit code."""
    parser = options.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1, help="what clients do is drawn from it")
    arguments = parser.parse_args()
    if arguments.clients <= VANISHING:
        parser.error(f"--clients must be more than the {VANISHING} that vanish")
    terms = Terms(
        model="pocket", seconds=60 * arguments.minutes, clients=arguments.clients, seed=arguments.seed
    )
    with tempfile.TemporaryDirectory(prefix="lamella-soak-") as folder:
        os.environ.update(daemons.own_home(Path(folder)))
        words = ("--dtype", DTYPE, "--threads", "1", "--log-level", "warning")
        with daemons.controlled(terms.model, RANGES, *words) as hosts:
            soak = Soak(terms, hosts, Path(folder), lambda words: print(words, file=sys.stderr, flush=True))
            found = asyncio.run(soak.run())
    if arguments.json:
        print(json.dumps({"processor": machine.processor(), **soak_verdict.as_record(found)}))
    else:
        print(f"{machine.processor()}, {os.cpu_count()} cores\n{soak_verdict.as_text(found)}")
    return 1 if soak_verdict.missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
