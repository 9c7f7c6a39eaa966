"""Measures how much more a host computes for several sessions at once than for one, in one process and run.

    python -m scripts.bench.sessions                    # 8 sessions, every weight format, the shape of Qwen2.5-0.5B
    python -m scripts.bench.sessions --sessions 4 --json

Rounds with one session and with several alternate; the ratio is of total tokens per second, from the medians of the
steps. A session that gets other tokens than alone is reported: with random weights two tokens may be equally likely but
for the last bit of a sum.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from node.slices import threads as thread_settings
from node.store import checkpoint
from scripts.bench import options, shapes
from wire.tensors import WeightFormat
from wire.types import LayerRange


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over all rounds."""

    weights: str
    sessions: int
    prompt_tokens: int
    one_tokens_per_s: float
    together_tokens_per_s: float
    ratio: float


class Sessions:
    """Sessions of one loaded model that have read prompts of unequal length."""

    def __init__(self, whole: Any, prompts: list[list[int]]) -> None:
        from node.slices import tensors
        from node.slices.spec import Want

        self.whole = whole
        self.caches = [whole.new_cache(whole.spec.layers) for _ in prompts]
        self.tokens: list[list[int]] = []
        for cache, ids in zip(self.caches, prompts, strict=True):
            logits = whole.forward(tensors.from_ids(ids), cache=cache, position=0, want=Want.LOGITS)
            self.tokens.append([int(logits.argmax())])

    def step(self) -> float:
        """One token of every session; returns the seconds."""
        from node.slices import tensors
        from node.slices.spec import Want
        from node.slices.together import Step

        started = perf_counter()
        steps = [
            Step(tensors.from_ids(tokens[-1:]), cache, cache.length, Want.LOGITS)
            for tokens, cache in zip(self.tokens, self.caches, strict=True)
        ]
        for tokens, result in zip(self.tokens, self.whole.forward_all(steps), strict=True):
            tokens.append(int(result.argmax()))
        return perf_counter() - started


def measure(whole: Any, arguments: argparse.Namespace) -> Figures:
    """Alternate one session and several."""
    lengths = [arguments.prompt - 3 * index for index in range(arguments.sessions)]
    prompts = [[(7 * index + at) % 250 for at in range(count)] for index, count in enumerate(lengths)]
    one_s: list[float] = []
    together_s: list[float] = []
    differing = 0
    for index in range(arguments.rounds):
        chosen = index % len(prompts)
        alone, together = Sessions(whole, [prompts[chosen]]), Sessions(whole, prompts)
        one_s += [alone.step() for _ in range(arguments.tokens)]
        together_s += [together.step() for _ in range(arguments.tokens)]
        differing += alone.tokens[0] != together.tokens[chosen]
    if differing:
        print(f"{differing} of {arguments.rounds} sessions got other tokens than alone", file=sys.stderr)
    one, several = 1 / statistics.median(one_s), arguments.sessions / statistics.median(together_s)
    weights = whole.spec.weights.value
    return Figures(weights, arguments.sessions, arguments.prompt, one, several, several / one)


def main() -> None:
    """Measure and print."""
    parser = options.parser(__doc__, rounds=4, computes=True)
    parser.add_argument("--weights", nargs="+", choices=[one.value for one in WeightFormat])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=16, help="decode steps a round")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of the longest prompt")
    arguments = parser.parse_args()
    thread_settings.prepare(arguments.threads)
    thread_settings.apply()
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec

    folder: Path = checkpoint.resolve(shapes.folder(arguments.model))
    layers = LayerRange(0, read_facts(folder).num_layers)
    for name in arguments.weights or ("native", "int8", "int4-32"):
        whole = load_slice(
            SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, weights=WeightFormat(name))
        )
        figures = measure(whole, arguments)
        if arguments.json:
            print(json.dumps(asdict(figures)), flush=True)
        else:
            print(
                f"{folder.name} {figures.weights:8s} one session {figures.one_tokens_per_s:6.2f} tokens/s, "
                f"{figures.sessions} together {figures.together_tokens_per_s:6.2f}: {figures.ratio:.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
