"""What a layer of known models costs on this machine: bytes, KV memory, speed in each weight format, and what fits.

    python -m scripts.recipes                     # every shape, as a table
    python -m scripts.recipes --only llama-3.1-8b --json
    python -m scripts.recipes --write             # puts the table into docs/recipes.md

One layer of the real shape with random weights is written, loaded as a host loads it, and timed alone: a chain's step
is the sum of its layers. Speeds are of one session; the head and the embedding are not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from node.slices import threads
from scripts.bench.machine import processor
from wire.tensors import WeightFormat
from wire.types import LayerRange

SHAPES: Final[dict[str, dict[str, Any]]] = {
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "num_hidden_layers": 24,
        "hidden_size": 896,
        "intermediate_size": 4_864,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "llama-3.1-8b": {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4_096,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "qwen3-4b": {
        "model_type": "qwen3",
        "num_hidden_layers": 36,
        "hidden_size": 2_560,
        "intermediate_size": 9_728,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "mistral-7b": {
        "model_type": "mistral",
        "num_hidden_layers": 32,
        "hidden_size": 4_096,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "sliding_window": None,
    },
    "gemma-2-2b": {
        "model_type": "gemma2",
        "num_hidden_layers": 26,
        "hidden_size": 2_304,
        "intermediate_size": 9_216,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4_096,
    },
    "olmoe-1b-7b": {
        "model_type": "olmoe",
        "num_hidden_layers": 16,
        "hidden_size": 2_048,
        "intermediate_size": 1_024,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
    },
}
"""Layers of published models, by the numbers in their configs."""
FORMATS: Final = (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32)
MEMORIES_GIB: Final = (4, 8, 16, 32)
PAGE: Final = Path("docs/recipes.md")
_HEADER: Final = (
    "| model | layers | weights | MB a layer | KV bytes a token | decode ms | prefill tokens/s | "
    + (" | ".join(f"{gib} GiB" for gib in MEMORIES_GIB) + " |")
)
_PAGE: Final = """\
# What a layer costs

Written by `python -m scripts.recipes --write` on {machine}. One layer of each model's real shape with random weights,
loaded and computed as a host does. *MB a layer* are its weights; *KV bytes a token* is what one position of one session
keeps in one layer; *decode* is one token of one session after 256, *prefill* a prompt of 256, both for one layer:
a chain's step is the sum of its layers, the head and its links. The last columns say how many layers fit a memory of
so much, with one session of 4,096 positions and 1 GiB left for everything else.

{table}
"""
_CONTEXT: Final = 4_096
_PREFILL: Final = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """One layer of one model in one format."""

    model: str
    model_type: str
    num_layers: int
    weights: str
    bytes_per_layer: int
    kv_bytes_per_token: int
    decode_ms_per_layer: float
    prefill_tokens_per_s_per_layer: float
    layers_in_gib: dict[int, int]
    """How many layers fit a memory of so many GiB, with one session of 4,096 positions and 1 GiB left for the rest."""


def measure(name: str, rounds: int) -> Iterator[Recipe]:
    """Time one layer of a shape in every format."""
    import torch

    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec, Want
    from scripts.make_model import write_model

    shape = dict(SHAPES[name])
    model_type, num_layers = shape.pop("model_type"), shape["num_hidden_layers"]
    small = {"vocab_size": 256, "tie_word_embeddings": True, "max_position_embeddings": 8_192}
    with tempfile.TemporaryDirectory() as scratch:
        print(f"{name}: writing one layer", file=sys.stderr)
        folder = write_model(Path(scratch) / name, model_type, {**shape, **small, "num_hidden_layers": 1})
        for weights in FORMATS:
            layers = LayerRange(0, 1)
            held = load_slice(SliceSpec(checkpoint=folder, layers=layers, weights=weights))
            steps: list[float] = []
            prefills: list[float] = []
            for _ in range(rounds):
                cache = held.new_cache(layers)
                x = torch.randn(1, _PREFILL, held.hidden_size).to(held.dtype)
                started = perf_counter()
                held.forward(x, cache=cache, position=0, want=Want.HIDDEN)
                prefills.append(perf_counter() - started)
                for at in range(16):
                    started = perf_counter()
                    held.forward(x[:, :1], cache=cache, position=_PREFILL + at, want=Want.HIDDEN)
                    steps.append(perf_counter() - started)
            kv = held.kv_bytes(layers, _CONTEXT) // _CONTEXT
            each = held.weight_bytes + kv * _CONTEXT
            yield Recipe(
                model=name,
                model_type=model_type,
                num_layers=num_layers,
                weights=weights.value,
                bytes_per_layer=held.weight_bytes,
                kv_bytes_per_token=kv,
                decode_ms_per_layer=1_000 * statistics.median(steps),
                prefill_tokens_per_s_per_layer=_PREFILL / statistics.median(prefills),
                layers_in_gib={gib: min(num_layers, max(0, (gib - 1) << 30) // each) for gib in MEMORIES_GIB},
            )
            del held


def row(found: Recipe) -> str:
    """One line of the table."""
    held = " | ".join(str(count) for count in found.layers_in_gib.values())
    return (
        f"| {found.model} | {found.num_layers} | {found.weights} | {found.bytes_per_layer / 1e6:.1f} "
        f"| {found.kv_bytes_per_token:,} | {found.decode_ms_per_layer:.2f} "
        f"| {found.prefill_tokens_per_s_per_layer:,.0f} | {held} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=sorted(SHAPES), metavar="SHAPE", default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=threads.usable_cores())
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--write", action="store_true", help=f"write {PAGE} as well")
    arguments = parser.parse_args()
    threads.prepare(arguments.threads)
    threads.apply()
    lines = [_HEADER, "|---" * _HEADER.count(" | ") + "|---|"]
    if not arguments.json:
        print("\n".join(lines))
    for name in arguments.only:
        for found in measure(name, arguments.rounds):
            lines.append(row(found))
            print(json.dumps(asdict(found)) if arguments.json else lines[-1], flush=True)
    if arguments.write:
        machine = f"{processor()}, {arguments.threads} threads"
        PAGE.write_text(_PAGE.format(machine=machine, table="\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
