"""Measures the products with a layer's matrices, each weight format against torch's own bfloat16 module, in one run.

    python -m scripts.bench.kernels                       # matrices of Qwen2.5-0.5B
    python -m scripts.bench.kernels --shapes 14336x4096 4096x14336 --json

Formats take turns at every repetition, and each works through several copies of its matrix, so that weights come from
memory as they do in a model. The ratio is torch's median time over the format's. GB/s counts the weights' bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import Any, Final

from node.slices import threads as thread_settings
from scripts.bench.machine import processor
from wire.tensors import WeightFormat

SHAPES: Final = ("9728x896", "896x4864", "1152x896")
"""Rows and columns: gate and up joined, down, and q, k and v joined."""
TOKENS: Final = (1, 8, 64, 512)
FORMATS: Final = (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32)
COPIES_BYTES: Final = 1 << 28
"""Of bfloat16 weights to go through before the same ones are used again; more than a processor's cache."""
TORCH: Final = "torch bf16"


@dataclass(frozen=True, slots=True)
class Figures:
    """One matrix, number of tokens and format."""

    rows: int
    columns: int
    tokens: int
    weights: str
    ms: float
    gb_per_s: float
    ratio: float
    """To torch's own bfloat16 module, in the same run."""


def modules(rows: int, columns: int) -> dict[str, list[Any]]:
    """Copies of one random matrix by format."""
    import torch
    from torch import nn

    from node.slices.kernels import half, pack

    made: dict[str, list[Any]] = {TORCH: [], **{one.value: [] for one in FORMATS}}
    with torch.no_grad():
        for _ in range(max(2, COPIES_BYTES // (2 * rows * columns))):
            plain = nn.Linear(columns, rows, bias=False).bfloat16().requires_grad_(False)
            made[TORCH].append(plain)
            for one in FORMATS:
                packed = pack.replacement(plain, one)
                half.settle(packed)
                made[one.value].append(packed)
    return made


def measure(rows: int, columns: int, tokens: int, made: dict[str, list[Any]], repeats: int) -> list[Figures]:
    """Time every format, in turns."""
    import torch

    x = torch.randn(1, tokens, columns)
    narrow = x.bfloat16()
    calls: dict[str, Callable[[], Any]] = {}
    for name, copies in made.items():
        calls[name] = partial(_next_product, cycle(copies), narrow if name == TORCH else x)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for repeat in range(repeats + 2):
            for name, call in calls.items():
                started = perf_counter()
                call()
                if repeat >= 2:
                    seconds[name].append(perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    sizes = {name: _bytes(copies[0]) for name, copies in made.items()}
    return [
        Figures(
            rows,
            columns,
            tokens,
            name,
            took * 1_000,
            sizes[name] / took / 1e9,
            medians[TORCH] / took,
        )
        for name, took in medians.items()
    ]


def _next_product(copies: Iterator[Any], x: Any) -> None:
    next(copies)(x)


def _bytes(module: Any) -> int:
    held = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    return int(held) + getattr(module, "packed_bytes", 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="ROWSxCOLUMNS", help="matrices")
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS, help="tokens at once")
    parser.add_argument("--threads", type=int, default=thread_settings.usable_cores())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    shapes = []
    for shape in arguments.shapes:
        rows, _, columns = shape.partition("x")
        if not (rows.isdigit() and columns.isdigit() and int(rows) and int(columns)):
            parser.error(f"{shape!r} is not rows and columns; write 9728x896")
        shapes.append((int(rows), int(columns)))
    thread_settings.prepare(arguments.threads)
    thread_settings.apply()
    if not arguments.json:
        print(
            f"{processor()}, {arguments.threads} threads; ratios to torch's own bfloat16 module in this run"
        )
    for rows, columns in shapes:
        made = modules(rows, columns)
        for tokens in arguments.tokens:
            for found in measure(rows, columns, tokens, made, arguments.repeats):
                if arguments.json:
                    print(json.dumps(asdict(found)), flush=True)
                else:
                    print(
                        f"{rows:6d} x {columns:5d}  {tokens:4d} tokens  {found.weights:10s} {found.ms:8.3f} ms  "
                        f"{found.gb_per_s:5.1f} GB/s  {found.ratio:5.2f}x",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
