"""Which stretches of a hub's files to ask for, so that few requests bring many chunks and few bytes nobody wants.

Pure: from what is wanted to what to ask. A request costs a hub two round trips and counts against its limit; so chunks
that lie side by side come in one, and a small gap between two is read and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.store.source import Chunk

MAX_GAP_BYTES: Final = 1024 * 1024
"""At 100 Mbit/s a gap of this size takes as long as another request's round trips."""
WASTE_SHARE: Final = 0.02
"""The most of what is wanted that may be read in vain beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A chunk, and where its bytes lie."""

    chunk: Chunk
    file: str
    start: int
    """Of its first byte in the file."""

    @property
    def stop(self) -> int:
        """The offset after its last byte."""
        return self.start + self.chunk.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Chunks of one file that are asked for in one request, in the order of their bytes."""

    wanted: tuple[Wanted, ...]

    @property
    def file(self) -> str:
        """The file they are in."""
        return self.wanted[0].file

    @property
    def start(self) -> int:
        """Where the request begins."""
        return self.wanted[0].start

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.wanted[-1].stop


def gather(first: Wanted, others: Iterable[Wanted], most_bytes: int) -> Run:
    """Return the run around a chunk: after it as far as it goes, then before it.

    Args:
        first: is in it in any case.
        others: in any order; those of other files, and those that overlap one that is taken, are left out.
        most_bytes: of the whole run, gaps included.
    """
    near = sorted((one for one in others if one.file == first.file), key=lambda one: (one.start, one.stop))
    taken = [first]
    size, waste = first.chunk.size, 0
    for one in near:
        gap = one.start - taken[-1].stop
        if gap < 0:
            continue
        if not _worth(gap, waste + gap, size + one.chunk.size, most_bytes):
            break
        taken.append(one)
        size, waste = size + one.chunk.size, waste + gap
    before: list[Wanted] = []
    at = first.start
    for one in reversed(near):
        gap = at - one.stop
        if gap < 0:
            continue
        if not _worth(gap, waste + gap, size + one.chunk.size, most_bytes):
            break
        before.append(one)
        at, size, waste = one.start, size + one.chunk.size, waste + gap
    return Run(wanted=(*reversed(before), *taken))


def runs(wanted: Sequence[Wanted]) -> list[Run]:
    """Cut a batch into runs, in its order; what `gather` chose and nobody changed stays one."""
    found: list[list[Wanted]] = []
    for one in wanted:
        last = found[-1][-1] if found else None
        if last is not None and last.file == one.file and 0 <= one.start - last.stop <= MAX_GAP_BYTES:
            found[-1].append(one)
        else:
            found.append([one])
    return [Run(wanted=tuple(part)) for near in found for part in ([near] if _is_dense(near) else _cut(near))]


def _worth(gap: int, waste: int, size: int, most_bytes: int) -> bool:
    return gap <= MAX_GAP_BYTES and waste <= WASTE_SHARE * size and size + waste <= most_bytes


def _is_dense(near: Sequence[Wanted]) -> bool:
    size = sum(one.chunk.size for one in near)
    return near[-1].stop - near[0].start - size <= WASTE_SHARE * size


def _cut(near: Sequence[Wanted]) -> list[list[Wanted]]:
    """At every gap: a batch that somebody took chunks out of."""
    parts = [[near[0]]]
    for one in near[1:]:
        if one.start == parts[-1][-1].stop:
            parts[-1].append(one)
        else:
            parts.append([one])
    return parts
