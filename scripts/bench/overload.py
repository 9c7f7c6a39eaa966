"""Opens ten times the sessions that a full host may hold, at once, and looks what that does to those that run.

    python -m scripts.bench.overload [--sessions 8] [--rounds 5] [--json]

Seconds with a storm every second and seconds without alternate in one run; what running sessions lose is the middle of
the losses of pairs that follow each other. Bars: each refusal within 50 ms, typed, with a hint when to try again;
at most 10 % of speed lost; no wrong token. Then a peer asks without reading the answers, and hangs: the host has to
let go of it, of its session and of what waits for it. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from scripts.bench import daemons, machine, options, strangers
from scripts.bench.daemons import Daemon
from scripts.bench.forked import Forked
from scripts.bench.questions import DTYPE, GREEDY, Question, prompts, tell_answered
from scripts.bench.sampling import Sample, Sampler, sampling
from scripts.bench.steady import Asked, Pace, ask_on
from scripts.bench.strangers import Answer
from wire.codes import Code

TIMES: Final = 10
"""The sessions that are opened at once, by those that the host may hold."""
PEERS: Final = 5
LATENCY_BAR_MS: Final = 50.0
LOSS_BAR: Final = 0.10
WEDGED_BAR_BYTES: Final = 64 << 20
"""What a peer that does not read may cost at the most: twice what may be queued for one."""
_BURST_EVERY_S: Final = 1.0
_START_S: Final = 120.0
_GIVEN_UP_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.05
_TOKENS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much is measured."""

    model: str
    sessions: int
    rounds: int
    window_s: float
    """Of each half of a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storms:
    """What storms did."""

    refusals: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    codes: dict[str, int]
    without_hint: int
    calm_tokens_per_s: float
    storm_tokens_per_s: float
    loss: float
    """The middle one of all rounds, in shares of the speed without a storm."""
    answers: int
    wrong: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wedge:
    """What a peer cost that asked and did not read."""

    asked: int
    let_go_s: float | None
    """From when it fell silent; None when the host had not let go of it in time."""
    peak_growth_bytes: int
    kept_bytes: int
    left: tuple[str, ...]
    """What the host holds more than before."""


class Overload:
    """Measures one host, which may hold `Terms.sessions`."""

    def __init__(self, terms: Terms, host: Daemon, folder: Path) -> None:
        self._terms = terms
        self._host = host
        self._folder = folder

    async def run(self) -> tuple[Storms, Wedge]:
        """Measure storms, then a wedged peer. Raises `RuntimeError` when clients cannot be started."""
        questions = await asyncio.to_thread(self._questions)
        asked = Asked(
            model=self._terms.model,
            contacts=(self._host.contact,),
            questions=questions,
            clients=self._terms.sessions,
            folder=self._folder,
        )
        crowd = Forked(ask_on, asked)
        try:
            await asyncio.to_thread(crowd.wait_for, "running", _START_S)
            storms = await self._storms(Pace(crowd))
        finally:
            await asyncio.to_thread(crowd.end)
        async with sampling([self._host]) as sampler:
            (before,), _ = await sampler.until(lambda now: not now[0].sessions, _GIVEN_UP_S)
            return storms, await self._wedge(sampler, before)

    def _questions(self) -> tuple[Question, ...]:
        asking = Forked(tell_answered, self._terms.model, prompts(6, most_tokens=32)[::2], _TOKENS)
        try:
            found = asking.wait_for("questions", _START_S)
        finally:
            asking.end()
        return tuple(one for one in found if one.sampling == GREEDY)

    async def _storms(self, pace: Pace) -> Storms:
        terms = self._terms
        begins = time.monotonic() + 2.0
        bursts = int(terms.window_s / _BURST_EVERY_S)
        moments = [
            begins + (2 * number + 1) * terms.window_s + burst * _BURST_EVERY_S
            for number in range(terms.rounds)
            for burst in range(bursts)
        ]
        opens = TIMES * terms.sessions
        storming = Forked(strangers.storm, self._host.contact, opens, PEERS, moments)
        calm, stormy = [], []
        answers: list[Answer] = []

        def hear() -> None:
            answers.extend(one for word, burst in storming.heard() if word == "burst" for one in burst)

        try:
            await pace.hear_for(max(0.0, begins - time.monotonic()), hear)
            for _ in range(terms.rounds):
                calm.append(await pace.hear_for(terms.window_s, hear))
                stormy.append(await pace.hear_for(terms.window_s, hear))
            await pace.hear_for(_BURST_EVERY_S, hear)
        finally:
            await asyncio.to_thread(storming.end)
        speeds = [(pace.tokens_per_s(a), pace.tokens_per_s(b)) for a, b in zip(calm, stormy, strict=True)]
        return _storms(answers, speeds, pace)

    async def _wedge(self, sampler: Sampler, before: Sample) -> Wedge:
        wedged = Forked(strangers.wedge, self._host.contact)
        peak, asked, silent_at, let_go_s = before.own_bytes, 0, None, None
        deadline = time.monotonic() + _GIVEN_UP_S
        try:
            while let_go_s is None and time.monotonic() < deadline:
                (now,) = await sampler.look()
                peak = max(peak, now.own_bytes)
                for word, detail in wedged.heard():
                    if word == "wedged":
                        asked, silent_at = detail, time.monotonic()
                if silent_at is not None and not now.beyond(before):
                    let_go_s = time.monotonic() - silent_at
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            await asyncio.to_thread(wedged.end)
        return Wedge(
            asked=asked,
            let_go_s=let_go_s,
            peak_growth_bytes=peak - before.own_bytes,
            kept_bytes=now.own_bytes - before.own_bytes,
            left=tuple(now.beyond(before)),
        )


def missed(storms: Storms, wedge: Wedge) -> list[str]:
    """Every bar that was missed, as a sentence."""
    told = [f"an answer was wrong: {one}" for one in storms.wrong[:1]]
    told += [f"an answer failed: {one}" for one in storms.failed[:1]]
    if not storms.answers:
        told.append("no answer was finished")
    if set(storms.codes) != {Code.TOO_MANY_SESSIONS.text}:
        told.append(f"opens were answered otherwise than they should be: {storms.codes}")
    if storms.without_hint:
        told.append(f"{storms.without_hint} refusals did not say when to try again")
    if storms.most_ms > LATENCY_BAR_MS:
        told.append(f"a refusal took {storms.most_ms:.1f} ms, more than {LATENCY_BAR_MS:g}")
    if storms.loss > LOSS_BAR:
        told.append(f"running sessions lost {storms.loss:.1%}, more than {LOSS_BAR:.0%}")
    if wedge.let_go_s is None:
        told.append(f"a peer that does not read was not let go of: {'; '.join(wedge.left)}")
    if wedge.peak_growth_bytes > WEDGED_BAR_BYTES:
        told.append(f"a peer that does not read took {wedge.peak_growth_bytes / 1e6:.1f} MB")
    return told


def _storms(answers: list[Answer], speeds: list[tuple[float, float]], pace: Pace) -> Storms:
    times = sorted(one.latency_ms for one in answers) or [0.0]
    words = (Code(one.code).text if one.code is not None else "not refused" for one in answers)
    return Storms(
        refusals=len(answers),
        p50_ms=statistics.median(times),
        p99_ms=times[int(len(times) * 0.99)],
        most_ms=times[-1],
        codes=dict(Counter(words)),
        without_hint=sum(one.retry_after_ms is None for one in answers),
        calm_tokens_per_s=statistics.median(calm for calm, _ in speeds),
        storm_tokens_per_s=statistics.median(stormy for _, stormy in speeds),
        loss=statistics.median(1 - stormy / calm if calm else 0.0 for calm, stormy in speeds),
        answers=pace.answered,
        wrong=tuple(pace.wrong),
        failed=tuple(pace.failed),
    )


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = options.parser(__doc__, rounds=5)
    parser.add_argument("--sessions", type=int, default=8, help="that the host may hold")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each half of a round")
    arguments = parser.parse_args()
    terms = Terms(
        model="pocket",
        sessions=arguments.sessions,
        rounds=arguments.rounds,
        window_s=arguments.seconds,
    )
    with tempfile.TemporaryDirectory(prefix="lamella-overload-") as folder:
        os.environ.update(daemons.own_home(Path(folder)))
        words = ["--dtype", DTYPE, "--threads", "1", "--log-level", "warning"]
        words += ["--max-sessions", str(terms.sessions)]
        with daemons.controlled(terms.model, ["1:24"], *words) as (host,):
            storms, wedge = asyncio.run(Overload(terms, host, Path(folder)).run())
    bars = missed(storms, wedge)
    if arguments.json:
        figures = {"storms": asdict(storms), "wedge": asdict(wedge), "missed": bars}
        print(json.dumps({"processor": machine.processor(), **figures}))
    else:
        print(_as_text(terms, storms, wedge))
        for one in bars:
            print(f"MISSED: {one}")
    return 1 if bars else 0


def _as_text(terms: Terms, storms: Storms, wedge: Wedge) -> str:
    let_go = "not in time" if wedge.let_go_s is None else f"{wedge.let_go_s:.1f} s"
    return (
        f"{machine.processor()}, {os.cpu_count()} cores\n"
        f"{storms.refusals} opens, {TIMES * terms.sessions} at once at a host of {terms.sessions} sessions: refused in "
        f"{storms.p50_ms:.1f} ms p50, {storms.p99_ms:.1f} ms p99, {storms.most_ms:.1f} ms at most; {storms.codes}\n"
        f"running sessions: {storms.calm_tokens_per_s:.1f} tokens/s, {storms.storm_tokens_per_s:.1f} with a storm a "
        f"second, {storms.loss:+.1%} lost; {storms.answers} answers compared, {len(storms.wrong)} wrong\n"
        f"a peer that asked {wedge.asked} times and did not read: let go of after {let_go}, took "
        f"{wedge.peak_growth_bytes / 1e6:.1f} MB at its peak, {wedge.kept_bytes / 1e6:.1f} MB afterwards"
    )


if __name__ == "__main__":
    sys.exit(main())
