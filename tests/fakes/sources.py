"""A source of chunks in memory that behaves as it is told."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from node.store.errors import WrongBytes
from node.store.pace import Turn
from node.store.source import Chunk, SourceFailed


def make_chunks(count: int, size: int = 1000) -> dict[Chunk, bytes]:
    """Chunks and their bytes."""
    made = {}
    for number in range(count):
        data = random.Random(number).randbytes(size)
        made[Chunk(digest=hashlib.sha256(data).digest(), size=size, name=f"t{number}")] = data
    return made


class Keeper:
    """Keeps what is right, as a store does."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.times = 0

    def keep(self, chunk: Chunk, data: bytes) -> None:
        self.times += 1
        if hashlib.sha256(data).digest() != chunk.digest:
            raise WrongBytes(chunk.name)
        self.kept[chunk.digest] = data


class FakeSource:
    """Delivers chunks one after the other, each after a time."""

    is_peer = True

    def __init__(
        self,
        label: str,
        data: Mapping[Chunk, bytes],
        *,
        held: Collection[Chunk] | None = None,
        chunk_s: float = 0.0,
        streams: int = 2,
    ) -> None:
        self.label = label
        self.streams = streams
        self.chunk_s = chunk_s
        self.batches: list[list[Chunk]] = []
        self.cancelled = 0
        self.open = 0
        self.lies: Collection[Chunk] = ()
        self.lacks: Collection[Chunk] = ()
        """What it says to hold, and leaves out."""
        self.stalls_after: int | None = None
        """Chunks after which it delivers nothing more, without an end."""
        self.fails: list[SourceFailed] = []
        """Raised at the start of the next reads, one each."""
        self.delivered = 0
        self._data = data
        self._held = frozenset(data if held is None else held)

    def holds(self, chunk: Chunk) -> bool:
        return chunk in self._held

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]:
        chosen: list[Chunk] = []
        for chunk in ranked:
            if chosen and sum(one.size for one in chosen) + chunk.size > most_bytes:
                break
            chosen.append(chunk)
        return chosen

    async def read(
        self, batch: Sequence[Chunk], turn: Turn | None = None
    ) -> AsyncIterator[tuple[Chunk, bytes]]:
        self.batches.append(list(batch))
        self.open += 1
        try:
            if self.fails:
                raise self.fails.pop(0)
            for chunk in batch:
                if self.stalls_after is not None and self.delivered >= self.stalls_after:
                    await asyncio.Event().wait()
                await asyncio.sleep(self.chunk_s)
                if chunk in self.lacks:
                    continue
                self.delivered += 1
                data = self._data[chunk]
                if turn is not None:
                    await turn(len(data))
                yield chunk, bytes(len(data)) if chunk in self.lies else data
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1
