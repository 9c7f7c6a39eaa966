"""What a chunk of a model is, and what a place that chunks come from must offer: where store and sources meet.

A source knows nothing of the others and of the disk. Whoever asks it checks each chunk against its digest: a source is
believed in nothing. The hub (`hub_source`) and peers (`peer_source`) are sources; `fetch` asks several at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.store.errors import StoreError
from node.store.pace import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a model: a stretch of a tensor, or a whole small file."""

    digest: bytes
    """SHA-256 of its bytes."""
    size: int
    """In bytes; at most `limits.CHUNK_BYTES` in a tensor, `limits.MAX_SMALL_FILE_BYTES` for a file."""
    name: str
    """The tensor or the file it is of."""
    offset: int = 0
    """Of its first byte in the tensor."""
    is_file: bool = False
    """Whether `name` is a small file's."""


class SourceFailed(StoreError):
    """A source did not deliver.

    Attributes:
        retry_after_s: when it may be asked again, in seconds; None when it is not worth it.
    """

    def __init__(self, cause: str, next_step: str, *, retry_after_s: float | None) -> None:
        super().__init__(cause, next_step)
        self.retry_after_s = retry_after_s


class Source(Protocol):
    """A place that chunks can be read from."""

    @property
    def label(self) -> str:
        """What to call it to a person: `hub`, `peer 4k2xqf3a`; also what it is remembered by when it lies."""

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody who chose to serve: wrong bytes from one are remembered beyond a fetch."""

    @property
    def streams(self) -> int:
        """How many batches may be read from it at once."""

    def holds(self, chunk: Chunk) -> bool:
        """Whether it says that it has a chunk. Cheap; asked of every chunk."""

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]:
        """Choose what to read in one go.

        Args:
            ranked: chunks that it holds, the most wanted first; never empty.
            most_bytes: what a batch should not exceed; one chunk is chosen in any case.

        Returns: The first of `ranked`, and others that cost little beside it, in the order they will come.
        """

    def read(self, batch: Sequence[Chunk], turn: Turn | None = None) -> AsyncIterator[tuple[Chunk, bytes]]:
        """Deliver a batch's chunks as they arrive, each of exactly its size, its bytes unchecked.

        Args:
            turn: awaited for all that comes, before more is read; the source's own when None.

        Raises:
            SourceFailed: it refuses, breaks off, or answers with something else.
        """
