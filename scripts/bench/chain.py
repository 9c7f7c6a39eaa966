"""Measures a chain of a client and N hosts against the whole model in one process, as ratios within one run.

    python -m scripts.bench.chain                       # random weights in the shape of Qwen2.5-0.5B
    python -m scripts.bench.chain --model pocket --json

Rounds of both alternate, so that what else the machine does falls on both; the ratio is of the medians. The chain is
the real one: `lamella-node` processes, Noise links, the client's own session loop. Both sides use the same slices,
kernels and thread settings, and their tokens must agree, or the measurement is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from chat.driver import ClientOptions
from chat.events import Finished
from chat.session import AnswerOptions, AnswerSession
from node.slices import threads as thread_settings
from node.store import checkpoint
from scripts.bench import daemons, options, shapes
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import Sampling


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over all rounds; ratios are chain over whole, so 1.0 is no loss."""

    model: str
    dtype: str
    weights: str
    threads: int
    hosts: int
    rounds: int
    whole_decode_tokens_per_s: float
    chain_decode_tokens_per_s: float
    decode_ratio: float
    decode_ratio_rounds: tuple[float, ...]
    quiet_decode_ratio: float
    """Of both sides' quickest fifth of steps, which other work on the machine disturbs least."""
    prompt_tokens: int
    whole_prefill_tokens_per_s: float
    chain_prefill_tokens_per_s: float
    prefill_ratio: float
    prefill_ratio_rounds: tuple[float, ...]
    hop_compute_ms: tuple[float, ...]
    links_ms: float


class _NoText:
    """Tokens of random weights are not text."""

    def feed(self, token: int) -> str:
        return ""

    def finish(self) -> str:
        return ""


@contextmanager
def whole_model(folder: Path, dtype: str, threads: int, weights: str) -> Iterator[subprocess.Popen[str]]:
    """Run the reference process."""
    command = [sys.executable, "-m", "scripts.bench.engines.ours", str(folder), dtype, str(threads), weights]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            _line(process)
            yield process
        finally:
            process.terminate()


def ask_whole(process: subprocess.Popen[str], prompt: int, tokens: int) -> dict[str, Any]:
    """One measurement of the reference; its prefill is one forward of the whole prompt."""
    if process.stdin is None:
        raise RuntimeError("the reference has no standard input")
    process.stdin.write(json.dumps({"prompt": prompt, "tokens": tokens, "chunk": 0}) + "\n")
    process.stdin.flush()
    return _line(process)


async def ask_chain(session: AnswerSession, prompt: int, tokens: int) -> dict[str, Any]:
    """One measurement of the chain, from an empty cache."""
    await session.close()
    options = AnswerOptions(
        stop_ids=frozenset(), max_tokens=tokens + 1, positions=prompt + tokens + 8, sampling=Sampling()
    )
    ids = [index % 250 for index in range(prompt)]
    # The sessions are opened before the clock starts: both sides measure a loaded model, ready to compute.
    await session.prepare_chain()
    started = perf_counter()
    prefill_s = 0.0
    arrived: list[float] = []
    async for event in session.answer(ids, _NoText(), options):
        if type(event).__name__ == "TextDelta":
            arrived.append(perf_counter())
            prefill_s = prefill_s or arrived[0] - started
        elif isinstance(event, Finished):
            stats = event.stats
    steps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    return {"prefill_s": prefill_s, "steps_s": steps, "tokens": list(session.answered), "stats": stats}


async def measure(arguments: argparse.Namespace, folder: Path, contacts: tuple[Contact, ...]) -> Figures:
    """Alternate both sides and take the medians."""
    from chat.client import Client

    options = ClientOptions(
        model=str(folder),
        contacts=contacts,
        front_layers=arguments.layers[0],
        dtype=arguments.dtype,
        weights=WeightFormat(arguments.weights),
        threads=arguments.threads,
        context=arguments.prompt + arguments.tokens + 64,
        identity_file=Path(arguments.scratch) / "client",
    )
    client = Client(options)
    whole_steps: list[float] = []
    chain_steps: list[float] = []
    whole_prefill: list[float] = []
    chain_prefill: list[float] = []
    decode_ratios: list[float] = []
    prefill_ratios: list[float] = []
    # The reference loads before there are links: whoever waits for it answers no pings.
    with whole_model(folder, arguments.dtype, arguments.threads, arguments.weights) as process:
        try:
            await client.start(lambda _: None)
            session = client.session
            await asyncio.to_thread(ask_whole, process, 64, 4)
            await ask_chain(session, 64, 4)
            for index in range(arguments.rounds):
                whole = await asyncio.to_thread(ask_whole, process, arguments.prompt, arguments.tokens)
                chain = await ask_chain(session, arguments.prompt, arguments.tokens)
                if whole["tokens"] != chain["tokens"]:
                    raise SystemExit(
                        "the chain's tokens differ from the whole model's; the figures would mean nothing"
                    )
                whole_steps += whole["steps_s"]
                chain_steps += chain["steps_s"]
                whole_prefill.append(whole["prefill_s"])
                chain_prefill.append(chain["prefill_s"])
                decode_ratios.append(
                    statistics.median(whole["steps_s"]) / statistics.median(chain["steps_s"])
                )
                prefill_ratios.append(whole["prefill_s"] / chain["prefill_s"])
                print(
                    f"round {index + 1}: decode {decode_ratios[-1]:.3f}, prefill {prefill_ratios[-1]:.3f}",
                    file=sys.stderr,
                )
            stats = chain["stats"]
        finally:
            await client.close()
    return Figures(
        model=folder.name,
        dtype=arguments.dtype,
        weights=arguments.weights,
        threads=arguments.threads,
        hosts=len(contacts),
        rounds=arguments.rounds,
        whole_decode_tokens_per_s=1 / statistics.median(whole_steps),
        chain_decode_tokens_per_s=1 / statistics.median(chain_steps),
        decode_ratio=statistics.median(whole_steps) / statistics.median(chain_steps),
        decode_ratio_rounds=tuple(decode_ratios),
        quiet_decode_ratio=_quiet(whole_steps) / _quiet(chain_steps),
        prompt_tokens=arguments.prompt,
        whole_prefill_tokens_per_s=arguments.prompt / statistics.median(whole_prefill),
        chain_prefill_tokens_per_s=arguments.prompt / statistics.median(chain_prefill),
        prefill_ratio=statistics.median(whole_prefill) / statistics.median(chain_prefill),
        prefill_ratio_rounds=tuple(prefill_ratios),
        hop_compute_ms=tuple(hop.compute_ms for hop in stats.hops),
        links_ms=stats.links_ms,
    )


def _quiet(steps_s: list[float]) -> float:
    """The step that four of five are slower than."""
    return sorted(steps_s)[len(steps_s) // 5]


def main() -> None:
    """Measure and print."""
    parser = options.parser(__doc__, rounds=5, computes=True)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--weights", choices=[one.value for one in WeightFormat], default="native")
    parser.add_argument("--tokens", type=int, default=32, help="decode steps a round")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill")
    arguments = parser.parse_args()
    thread_settings.prepare(arguments.threads)
    import uvloop

    with tempfile.TemporaryDirectory(prefix="lamella-bench-") as scratch:
        arguments.scratch = scratch
        folder = checkpoint.resolve(shapes.folder(arguments.model))
        total = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
        stages = arguments.hosts + 1
        cuts = [total * index // stages for index in range(stages + 1)]
        arguments.layers = cuts[1:]
        ranges = [f"{start}:{end}" for start, end in itertools.pairwise(cuts[1:])]
        with (
            daemons.running(
                str(folder),
                ranges,
                dtype=arguments.dtype,
                threads=arguments.threads,
                weights=arguments.weights,
            ) as contacts,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            figures = runner.run(measure(arguments, folder, contacts))
    if arguments.json:
        print(json.dumps(asdict(figures)))
        return
    served = f"{figures.dtype} {figures.weights}"
    print(f"{figures.model}, {served}, client + {figures.hosts} hosts, {figures.threads} threads each")
    print(
        f"decode   whole {figures.whole_decode_tokens_per_s:7.2f} tokens/s   "
        f"chain {figures.chain_decode_tokens_per_s:7.2f} tokens/s   ratio {figures.decode_ratio:.3f} "
        f"(in the quickest fifth of steps {figures.quiet_decode_ratio:.3f})"
    )
    print(
        f"prefill  whole {figures.whole_prefill_tokens_per_s:7.0f} tokens/s   "
        f"chain {figures.chain_prefill_tokens_per_s:7.0f} tokens/s   ratio {figures.prefill_ratio:.3f} "
        f"({figures.prompt_tokens} tokens)"
    )
    print(
        f"per decode step: stages {', '.join(f'{ms:.2f}' for ms in figures.hop_compute_ms)} ms, "
        f"links and the rest {figures.links_ms:.2f} ms"
    )


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    if process.stdout is None:
        raise RuntimeError("the reference has no standard output")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the reference process ended; its error is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


if __name__ == "__main__":
    main()
