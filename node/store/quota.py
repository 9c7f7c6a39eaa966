"""What to remove so that something fits: a pure choice over what is here, what is needed, and what was used when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

BLOCK_BYTES: Final = 4096
"""What file systems give out at least; a chunk of ten bytes takes one."""


def on_disk(size: int) -> int:
    """The room that so many bytes take, in whole blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to go, or why it would not help."""

    digests: tuple[bytes, ...]
    freed: int
    """Bytes, as on disk."""
    short: int
    """Bytes that are missing even so; 0 when what is wanted fits."""


def choose(
    *,
    present: Mapping[bytes, int],
    needed: Mapping[bytes, int],
    quota: int | None,
    used_last: Iterable[Iterable[bytes]],
) -> Removal:
    """Choose the chunks to remove.

    Args:
        present: sizes on disk of all chunks that are here, by digest.
        needed: sizes on disk of all chunks that somebody needs, here or not; these stay.
        quota: the most bytes that may be here; None for no bound.
        used_last: chunks of one model after another, the one that was used the longest ago first. Chunks of none
            of them go before all others.
    """
    if quota is None:
        return Removal(digests=(), freed=0, short=0)
    missing = sum(size for digest, size in needed.items() if digest not in present)
    excess = sum(present.values()) + missing - quota
    if excess <= 0:
        return Removal(digests=(), freed=0, short=0)
    ages: dict[bytes, int] = {}
    for age, digests in enumerate(used_last, 1):
        ages.update(dict.fromkeys(digests, age))
    idle = sorted((d for d in present if d not in needed), key=lambda digest: ages.get(digest, 0))
    going: list[bytes] = []
    freed = 0
    for digest in idle:
        if freed >= excess:
            break
        going.append(digest)
        freed += present[digest]
    if freed < excess:
        return Removal(digests=(), freed=0, short=excess - freed)
    return Removal(digests=tuple(going), freed=freed, short=0)
