"""Asks a host for its status while it computes long prompts, and sends it a thousand lines that are no requests.

    python -m scripts.bench.control [--asked 200] [--malformed 1000] [--json]

Bars: status within 20 ms while computing, at the 99th percentile; answers under way stay those of the whole model
while malformed requests come, which leave no descriptor, task or memory behind. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.control.arguments import NoArguments
from node.control.client import connected
from node.control.commands import STATUS
from scripts.bench import daemons, machine, malformed, options
from scripts.bench.daemons import Daemon
from scripts.bench.forked import Forked
from scripts.bench.questions import DTYPE, GREEDY, Question, prompts, tell_answered
from scripts.bench.sampling import Sample, sampling
from scripts.bench.steady import Asked, Pace, ask_on

LATENCY_BAR_MS: Final = 20.0
KEPT_BAR_BYTES: Final = 8 << 20
"""Memory that a host may keep of malformed requests; they brought some five megabytes."""
_START_S: Final = 120.0
_SETTLE_S: Final = 20.0
_EVERY_S: Final = 0.05
_CLIENTS: Final = 2
_PROMPT: Final = 380
_TOKENS: Final = 8
"""Few: so the host reads prompts for most of the time, which is its longest job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much is measured."""

    model: str
    asked: int
    malformed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured."""

    idle_p50_ms: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    prompts_read: int
    """Answers that were compared while status was asked for and malformed lines came."""
    malformed: int
    answered: int
    malformed_s: float
    kept_bytes: int
    left: tuple[str, ...]
    wrong: tuple[str, ...]
    failed: tuple[str, ...]


async def measure(terms: Terms, host: Daemon, folder: Path) -> Figures:
    """Measure one host that has nothing else to do. Raises `RuntimeError` when clients cannot be started."""
    questions = await asyncio.to_thread(_questions, terms.model)
    idle = await _asked(host.control, terms.asked // 4, None)
    async with sampling([host]) as sampler:
        asked = Asked(
            model=terms.model,
            contacts=(host.contact,),
            questions=questions,
            clients=_CLIENTS,
            folder=folder,
        )
        crowd = Forked(ask_on, asked)
        try:
            await asyncio.to_thread(crowd.wait_for, "running", _START_S)
            pace = Pace(crowd)
            busy = sorted(await _asked(host.control, terms.asked, pace))
            # Once before it counts: what is imported or grown by the first errors stays.
            await malformed.send(host.control, 100, seed=1)
            (before,) = await sampler.look()
            began = time.monotonic()
            sending = asyncio.create_task(malformed.send(host.control, terms.malformed))
            while not sending.done():
                await pace.hear_for(_EVERY_S)
            answered, took_s = await sending, time.monotonic() - began
            status_works = await _asked(host.control, 1, pace)
            compared, deadline = pace.answered, time.monotonic() + _SETTLE_S
            while pace.answered < compared + _CLIENTS and time.monotonic() < deadline:
                await pace.hear_for(_EVERY_S)
            (after,), _ = await sampler.until(lambda now: not _left(now[0], before), _SETTLE_S)
        finally:
            await asyncio.to_thread(crowd.end)
    return Figures(
        idle_p50_ms=statistics.median(idle),
        p50_ms=statistics.median(busy),
        p99_ms=busy[int(len(busy) * 0.99)],
        most_ms=max(*busy, *status_works),
        prompts_read=pace.answered,
        malformed=terms.malformed,
        answered=answered,
        malformed_s=took_s,
        kept_bytes=after.own_bytes - before.own_bytes,
        left=tuple(_left(after, before)),
        wrong=tuple(pace.wrong),
        failed=tuple(pace.failed),
    )


def missed(figures: Figures) -> list[str]:
    """Every bar that was missed, as a sentence."""
    told = [f"an answer was wrong: {one}" for one in figures.wrong[:1]]
    told += [f"an answer failed: {one}" for one in figures.failed[:1]]
    if not figures.prompts_read:
        told.append("no answer was finished")
    if figures.p99_ms > LATENCY_BAR_MS:
        told.append(f"status took {figures.p99_ms:.1f} ms, more than {LATENCY_BAR_MS:g}")
    if figures.answered != figures.malformed:
        told.append(f"{figures.malformed - figures.answered} malformed lines were not answered")
    told += [f"malformed lines left {one}" for one in figures.left]
    if figures.kept_bytes > KEPT_BAR_BYTES:
        told.append(f"malformed lines left {figures.kept_bytes / 1e6:.1f} MB")
    return told


def _questions(model: str) -> tuple[Question, ...]:
    common = prompts(4, most_tokens=2 * _PROMPT, seed=3)
    # Each begins with a token of its own, so that nothing of it is held from the one before.
    asked = [((10 + number, *one) * _PROMPT)[:_PROMPT] for number, one in enumerate(common) for _ in range(2)]
    asking = Forked(tell_answered, model, asked, _TOKENS)
    try:
        found = asking.wait_for("questions", _START_S)
    finally:
        asking.end()
    return tuple(one for one in found if one.sampling == GREEDY)


async def _asked(control: Path, count: int, pace: Pace | None) -> list[float]:
    """Milliseconds of so many questions for the status, with pauses in between."""
    times = []
    async with connected(control) as client:
        for _ in range(count):
            began = time.perf_counter()
            await client.call(STATUS, NoArguments())
            times.append((time.perf_counter() - began) * 1e3)
            if pace is not None:
                pace.hear()
            await asyncio.sleep(_EVERY_S)
    return times


def _left(now: Sample, before: Sample) -> list[str]:
    """What is held more than before; KV memory and links are those of the clients that go on."""
    return [words for words in now.beyond(before) if any(one in words for one in ("files", "tasks"))]


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = options.parser(__doc__)
    parser.add_argument("--asked", type=int, default=200, help="times that the status is asked for")
    parser.add_argument("--malformed", type=int, default=1000, help="malformed lines")
    arguments = parser.parse_args()
    terms = Terms(model="pocket", asked=arguments.asked, malformed=arguments.malformed)
    with tempfile.TemporaryDirectory(prefix="lamella-control-") as folder:
        os.environ.update(daemons.own_home(Path(folder)))
        words = ("--dtype", DTYPE, "--log-level", "warning")
        with daemons.controlled(terms.model, ["1:24"], *words) as (host,):
            figures = asyncio.run(measure(terms, host, Path(folder)))
    bars = missed(figures)
    if arguments.json:
        print(json.dumps({"processor": machine.processor(), **asdict(figures), "missed": bars}))
    else:
        print(
            f"{machine.processor()}, {os.cpu_count()} cores\n"
            f"status: {figures.idle_p50_ms:.1f} ms p50 when idle; while computing {figures.p50_ms:.1f} ms p50, "
            f"{figures.p99_ms:.1f} ms p99, {figures.most_ms:.1f} ms at most\n"
            f"{figures.malformed} malformed lines in {figures.malformed_s:.1f} s, {figures.answered} answered: "
            f"{figures.kept_bytes / 1e6:+.1f} MB, left {', '.join(figures.left) or 'nothing'}; "
            f"{figures.prompts_read} answers compared, {len(figures.wrong)} wrong"
        )
        for one in bars:
            print(f"MISSED: {one}")
    return 1 if bars else 0


if __name__ == "__main__":
    sys.exit(main())
