"""A hub as a source of chunks: neighbours in a file come in one request, each chunk as soon as it is whole.

What one failure means is decided by `hub_errors`; here it is only told when the hub is worth asking again, and that
time doubles with every failure until something came. Spec of a source: `node.store.source`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final

from node.store.hub import HubRepo
from node.store.hub_errors import HubNotFound
from node.store.hub_headers import RemoteTensor
from node.store.hub_runs import Run, Wanted, gather, runs
from node.store.pace import Turn
from node.store.patience import Patience
from node.store.source import Chunk, SourceFailed
from wire import limits

STREAMS: Final = 4
"""Batches read from a hub at once: one TCP connection over a long way seldom fills a fast line."""
_LOOK_AT: Final = 1024
"""Chunks that a batch is chosen from: 4 GiB ahead; looking at all of a large model's would hold up the event loop."""


class HubSource:
    """Reads a model's chunks from one repository."""

    def __init__(
        self,
        repo: HubRepo,
        places: Mapping[str, RemoteTensor],
        *,
        streams: int = STREAMS,
        patience: Patience | None = None,
    ) -> None:
        """Read from `repo`.

        Args:
            places: where tensors lie in it, by name (`HubRepo.layout`).
            streams: how many batches may be read at once.
            patience: what its waits after failures are made by.
        """
        self._repo = repo
        self._places = places
        self._streams = streams
        self._patience = patience or repo.patience
        self._failures = 0

    is_peer = False

    @property
    def label(self) -> str:
        """`hub hf:org/name`."""
        return f"hub {self._repo.name}"

    @property
    def streams(self) -> int:
        """How many batches may be read from it at once."""
        return self._streams

    def holds(self, chunk: Chunk) -> bool:
        """Whether the repository has a tensor or a file of that name with room for it."""
        return self._find(chunk) is not None

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]:
        """Choose the most wanted chunk and those near it in its file, in the order of their bytes.

        Raises:
            HubNotFound: it does not hold the first one.
        """
        first = self._wanted(ranked[0])
        if first.chunk.is_file:
            return [first.chunk]
        others = (
            found
            for chunk in islice(ranked, 1, _LOOK_AT)
            if not chunk.is_file and (found := self._find(chunk)) is not None
        )
        return [one.chunk for one in gather(first, others, most_bytes).wanted]

    async def read(
        self, batch: Sequence[Chunk], turn: Turn | None = None
    ) -> AsyncGenerator[tuple[Chunk, bytes], None]:
        """Deliver a batch's chunks as they arrive, each of exactly its size, its bytes unchecked.

        Args:
            turn: see `Source`.

        Raises:
            HubError: the hub refuses, breaks off, or answers with something else.
        """
        try:
            for run in runs([self._wanted(chunk) for chunk in batch]):
                async with aclosing(self._run(run, turn)) as found:
                    async for one in found:
                        self._failures = 0
                        yield one
        except SourceFailed as error:
            self._failures += 1
            if error.retry_after_s is not None:
                error.retry_after_s = self._patience.wait_s(self._failures, error.retry_after_s)
            raise

    async def _run(self, run: Run, turn: Turn | None) -> AsyncGenerator[tuple[Chunk, bytes], None]:
        """Cut one request's bytes into its chunks; what lies between them is dropped."""
        at = run.start
        waiting = list(reversed(run.wanted))
        data = bytearray()
        while waiting and waiting[-1].chunk.size == 0:
            yield waiting.pop().chunk, b""
        async with aclosing(
            self._repo.http.pieces(self._repo.stretch(run.file, run.start, run.stop), turn)
        ) as pieces:
            async for piece in pieces:
                data += piece
                while waiting and at + len(data) >= waiting[-1].stop:
                    one = waiting.pop()
                    begin = one.start - at
                    with memoryview(data) as view:
                        whole = bytes(view[begin : begin + one.chunk.size])
                    yield one.chunk, whole
                    del data[: begin + one.chunk.size]
                    at = one.stop

    def _wanted(self, chunk: Chunk) -> Wanted:
        found = self._find(chunk)
        if found is None:
            raise HubNotFound(
                f"{self._repo.name} has no bytes for {chunk.name}",
                "choose another source",
                retry_after_s=None,
            )
        return found

    def _find(self, chunk: Chunk) -> Wanted | None:
        """Where a chunk's bytes lie; None when they cannot be in the repository."""
        if chunk.is_file:
            file = self._repo.files.get(chunk.name)
            fits = file is not None and file.size == chunk.size <= limits.MAX_SMALL_FILE_BYTES
            return Wanted(chunk=chunk, file=chunk.name, start=0) if fits else None
        place = self._places.get(chunk.name)
        if place is None or not 0 < chunk.size <= place.size - chunk.offset or chunk.offset < 0:
            return None
        return Wanted(chunk=chunk, file=place.file, start=place.start + chunk.offset)
