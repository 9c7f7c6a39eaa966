"""Whether there is room where fetched weights go, and whether what is there is what its names say.

All of a store can be many gigabytes, so a sample of its chunks is read; `lamella-node models --check` reads all.
Makes no folder: a store that is not there yet is judged by the disk it will be on.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, problem, warning
from node.inventory import size
from node.store.chunks import ChunkStore
from node.store.errors import CorruptChunk
from node.store.quota import on_disk
from node.store.source import Chunk

LOW_BYTES: Final = 2 * 10**9
"""Less than a small model takes."""
NONE_BYTES: Final = 100 * 10**6
"""Less than the small files of a host take in the long run."""
_SAMPLE_S: Final = 3.0
_SAMPLE_CHUNKS: Final = 64

Usage = Callable[[Path], tuple[int, int]]
"""Bytes that are free to this user on the disk of a folder that is there, and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a store holds."""

    chunks: int = 0
    bytes_on_disk: int = 0
    looked_at: int = 0
    """How many chunks were read."""
    damaged: int = 0
    """Of those."""


async def look(weights: Path, quota_bytes: int | None, usage: Usage | None = None) -> Finding:
    """Look at the folder of the weights.

    Args:
        quota_bytes: what the host may take there; None where it has no bound.
        usage: tells how much is free; the system when None.
    """
    return await aside(lambda: _look(weights, quota_bytes, usage or system_usage))


def system_usage(folder: Path) -> tuple[int, int]:
    """What the system says. Raises `OSError`."""
    found = shutil.disk_usage(folder)
    return found.free, found.total


def _look(weights: Path, quota_bytes: int | None, usage: Usage) -> Finding:
    there = next(one for one in (weights, *weights.parents) if one.exists())
    free, total = usage(there)
    stored = sample(weights) if weights.is_dir() else Stored()
    left = None if quota_bytes is None else quota_bytes - stored.bytes_on_disk
    facts = {
        "folder": str(weights),
        "free_bytes": free,
        "total_bytes": total,
        "quota_bytes": quota_bytes,
        "store_bytes": stored.bytes_on_disk,
        "chunks": stored.chunks,
        "chunks_read": stored.looked_at,
        "chunks_damaged": stored.damaged,
    }
    if not os.access(there, os.W_OK | os.X_OK):
        return problem(
            f"{there}, where fetched weights go, cannot be written to",
            f"run `chmod u+wx {there}` as its owner, or choose another place by XDG_DATA_HOME",
            **facts,
        )
    if stored.damaged:
        return problem(
            f"{stored.damaged} of {stored.looked_at} chunks that were read are damaged",
            "`lamella-node models --repair` reads all and fetches those anew; if it happens again, look at the disk",
            **facts,
        )
    room = f"{size(free)} free where weights go, {size(stored.bytes_on_disk)} of weights there"
    if free < NONE_BYTES:
        return problem(
            room,
            "make room, or choose another disk by XDG_DATA_HOME; `lamella-node models --prune 0`",
            **facts,
        )
    if left is not None and left > free:
        return warning(
            f"{room}, and --disk allows {size(left)} more than there is",
            f"make room, or give --disk {max(1, (stored.bytes_on_disk + free) >> 30)}G at most",
            **facts,
        )
    if free < LOW_BYTES:
        return warning(room, "make room: large models take tens of gigabytes", **facts)
    checked = f"; {stored.looked_at} of {stored.chunks} chunks read, all whole" if stored.chunks else ""
    return ok(f"{room}{checked}", **facts)


def sample(weights: Path, *, within_s: float = _SAMPLE_S) -> Stored:
    """Read some chunks of a store that is there, for so long. Raises `StoreUnusable`."""
    store = ChunkStore(weights)
    sizes = store.sizes()
    chosen = random.sample(sorted(sizes), min(_SAMPLE_CHUNKS, len(sizes)))
    until = time.monotonic() + within_s
    looked_at = damaged = 0
    for digest in chosen:
        if looked_at and time.monotonic() > until:
            break
        looked_at += 1
        try:
            store.read(Chunk(digest=digest, size=sizes[digest], name=""))
        except CorruptChunk:
            # Unless it was removed meanwhile.
            damaged += store.path(digest).exists()
    return Stored(
        chunks=len(sizes),
        bytes_on_disk=sum(map(on_disk, sizes.values())),
        looked_at=looked_at,
        damaged=damaged,
    )
