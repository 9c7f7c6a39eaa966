"""What this machine computes with, and how fast: torch's build, the memory's speed, products in each weight format.

    python -m node.slices.gauge build
    python -m node.slices.gauge speed

A process of its own prints one JSON object, so that whoever asks can end a measurement that hangs, and outlives one
that torch dies of, as it does on a processor that lacks what it was compiled for.

A product with one token's vector reads all weights once, so its speed is told in bytes of weights a second. Before each
a buffer is read that is larger than a processor's cache, so that the weights come from memory as in a model.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from node.slices import threads
from wire.tensors import WeightFormat
from wire.types import LayerRange

FORMATS: Final = (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32)
BUILD: Final = "build"
SPEED: Final = "speed"
_BUFFER_BYTES: Final = 256 << 20
_GPU_BUFFER_BYTES: Final = 1 << 30
_ROWS: Final = 4096
_COLUMNS: Final = 2048
"""A matrix as models of some billions of parameters have them."""
_REPEATS: Final = 9
"""Of which the best counts: what else the machine does only ever makes one slower."""
_WARM: Final = 2
_STEPS: Final = 8
_PROMPT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU that torch can use."""

    name: str
    device: str
    """As `--device` takes it."""
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What torch was built for, and what it finds here."""

    torch: str
    python: str
    processor: str
    """The instructions that torch's own kernels use here: `AVX2`, `AVX512`, `DEFAULT`..."""
    flags: dict[str, bool]
    """What of the processor matters for weights of 16 bits and fewer."""
    cuda: str | None
    """The CUDA version torch was built for; None for a build without."""
    gpus: tuple[Gpu, ...]
    packed_halves: bool
    """Whether torch has the packed kernels that native weights are fastest with."""
    right: bool
    """Whether a small product in bfloat16 gave the right numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The product of one matrix and one token's vector."""

    weights: WeightFormat
    ms: float
    gb_per_s: float
    """Bytes of weights read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured in one run."""

    threads: int
    memory_gb_per_s: float
    """At which memory is read, by the same threads."""
    products: tuple[Product, ...]


def build() -> Build:
    """Say what torch is and finds. Imports torch."""
    import torch

    from node.slices.kernels import half, wide

    names = {
        "AVX2": "_is_avx2_supported",
        "AVX512": "_is_avx512_supported",
        "AVX512-BF16": "_is_avx512_bf16_supported",
        "AVX512-VNNI": "_is_vnni_supported",
        "AMX": "_is_amx_tile_supported",
    }
    flags = {flag: bool(getattr(torch.cpu, name, bool)()) for flag, name in names.items()}
    ones = torch.ones(64, 64, dtype=torch.bfloat16)
    return Build(
        torch=torch.__version__,
        python=platform.python_version(),
        processor=torch.backends.cpu.get_cpu_capability(),
        flags={**flags, "bfloat16 in hardware": wide.has_bfloat16()},
        cuda=torch.version.cuda,
        gpus=tuple(_gpus()),
        packed_halves=half.available(),
        right=bool((ones @ ones == 64).all()),
    )


def speed() -> Speed:
    """Measure the memory and each format, in turns, on the threads that torch is set to. Takes a second or two."""
    import torch

    buffer = torch.ones(_BUFFER_BYTES // 4)
    calls = {one: _product(one) for one in FORMATS}
    seconds: dict[WeightFormat, list[float]] = {one: [] for one in FORMATS}
    reads = []
    with torch.inference_mode():
        for turn in range(_WARM + _REPEATS):
            for one, (call, _) in calls.items():
                read, took = _timed(lambda: torch.dot(buffer, buffer)), _timed(call)
                if turn >= _WARM:
                    reads.append(read)
                    seconds[one].append(took)
    products = tuple(
        Product(weights=one, ms=1e3 * best, gb_per_s=nbytes / best / 1e9)
        for one, (_, nbytes) in calls.items()
        for best in (min(seconds[one]),)
    )
    return Speed(
        threads=torch.get_num_threads(),
        memory_gb_per_s=buffer.nbytes / min(reads) / 1e9,
        products=products,
    )


def gpu_gb_per_s(device: str) -> float:
    """Measure how fast a GPU reads native weights of its own memory, in GB/s."""
    import torch

    columns = 8192
    matrix = torch.ones(_GPU_BUFFER_BYTES // 2 // columns, columns, dtype=torch.bfloat16, device=device)
    vector = torch.ones(columns, dtype=torch.bfloat16, device=device)

    def call() -> None:
        torch.mv(matrix, vector)
        torch.cuda.synchronize()

    with torch.inference_mode():
        took = [_timed(call) for _ in range(_WARM + _REPEATS)][_WARM:]
    return matrix.nbytes / min(took) / 1e9


def token_s(
    folder: Path, layers: LayerRange, weights: WeightFormat, dtype: str, *, head: bool, device: str = "cpu"
) -> float:
    """Load layers of a checkpoint as a host does, and measure the seconds of one token of one session through them.

    Raises:
        SliceError: they cannot be loaded.
    """
    import torch

    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec, Want

    spec = SliceSpec(checkpoint=folder, layers=layers, head=head, dtype=dtype, weights=weights, device=device)
    held = load_slice(spec)
    cache = held.new_cache(layers)
    hidden = torch.randn(1, _PROMPT, held.width).to(held.dtype)
    ids = torch.zeros(1, _PROMPT, dtype=torch.int64) if held.needs_tokens(layers) else None
    want = Want.LOGITS if head else Want.HIDDEN
    held.forward(hidden, cache=cache, position=0, want=want, ids=ids)
    one = None if ids is None else ids[:, :1]
    took = [
        _timed(lambda: held.forward(hidden[:, :1], cache=cache, position=at, want=want, ids=one))  # noqa: B023 - called at once
        for at in range(_PROMPT, _PROMPT + _WARM + _STEPS)
    ]
    return statistics.median(took[_WARM:])


def main(words: Sequence[str]) -> int:
    """Print what was asked for as one JSON object; returns the exit code."""
    threads.prepare()
    threads.apply()
    found = build() if words == [BUILD] else speed() if words == [SPEED] else None
    if found is None:
        return 2
    sys.stdout.write(json.dumps(asdict(found), default=lambda one: one.value) + "\n")
    sys.stdout.flush()
    return 0


def _gpus() -> Iterator[Gpu]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            yield Gpu(
                name=torch.cuda.get_device_name(index),
                device=f"cuda:{index}",
                free_bytes=free,
                total_bytes=total,
            )


def _product(weights: WeightFormat) -> tuple[Callable[[], object], int]:
    """A product in a format, and the bytes of its weights."""
    import torch
    from torch import nn

    from node.slices.kernels import half, pack

    plain = nn.Linear(_COLUMNS, _ROWS, bias=False).bfloat16().requires_grad_(False)
    module: Any = pack.replacement(plain, weights)
    half.settle(module)
    vector = torch.randn(1, _COLUMNS)
    held = sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
    return lambda: module(vector), int(held) + getattr(module, "packed_bytes", 0)


def _timed(call: Callable[[], object]) -> float:
    started = perf_counter()
    call()
    return perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
