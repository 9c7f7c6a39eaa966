"""How many threads compute, and the environment that must be set before torch is imported. No torch at import.

Exactly one thread of a process runs torch's parallel operations: libgomp keeps a pool per calling thread and
throttles spinning once its pools have more threads than there are cores. Several processes that share a
machine's cores slow each other down while their idle pools spin. A spin count of 6,000 gives the core to the
next hop soon after a step, and that the pool then sleeps between some operations costs less than that saves: in
`scripts.bench.chain` no other count from 500 to 60,000 made a faster chain.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SPIN_COUNT: Final = 6_000
MAX_THREADS: Final = 64
"""Past this a decode step is bound by memory, and by the barrier after each operation."""


def usable_cores() -> int:
    """The cores this process may run on, which a container or `taskset` can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(threads: int | None, *, cores: int, configured: str | None) -> int:
    """The number of compute threads: as asked for, else as `OMP_NUM_THREADS` says, else one per core."""
    if threads is None and configured is not None and configured.isascii() and configured.isdigit():
        threads = int(configured)
    return max(1, min(threads if threads is not None else cores, MAX_THREADS))


def prepare(threads: int | None = None) -> int:
    """Set the environment of the compute libraries; call before anything imports torch. Returns the thread count.

    Called after that it only changes the thread count, which `apply` can still put into effect.
    """
    chosen = choose(threads, cores=usable_cores(), configured=os.environ.get("OMP_NUM_THREADS"))
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(chosen)
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    load_on_this_thread()
    return chosen


@contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage while large libraries are imported: what they make stays, and is never looked through again.

    A client's imports take 5.7 s so instead of 6.8 s (processor time, two cores at 2.5 GHz).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_on_this_thread() -> None:
    """Keep transformers from reading weights in a pool of threads, each of which would get its own libgomp pool."""
    os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"


def apply() -> int:
    """Import torch if need be and give it the chosen thread count; call on the compute thread."""
    chosen = choose(None, cores=usable_cores(), configured=os.environ.get("OMP_NUM_THREADS"))
    import torch

    torch.set_num_threads(chosen)
    return chosen
