"""What a host can hand out to peers: where chunks lie on its disk, and the manifests that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wire.types import ModelId


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a chunk's bytes lie: a file of its own, or a stretch of one."""

    path: Path
    offset: int
    """Of its first byte in the file."""
    size: int
    """In bytes."""


class Shelf(Protocol):
    """Chunks that can be read in place. Every method reads the disk, and may be called from any thread."""

    def locate(self, digest: bytes) -> Place | None:
        """Where a chunk lies; None when it is not here. Its bytes are not checked."""

    def manifest(self, model_id: ModelId) -> bytes | None:
        """The canonical bytes of a model's manifest; None when it is not here."""

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        """The digests of a model's chunks that are here; None when its manifest is not."""
