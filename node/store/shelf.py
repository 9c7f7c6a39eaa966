"""Where bytes that can be given to peers lie on this machine's disk; nothing here reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from wire.types import ModelId


class Place(NamedTuple):
    """A stretch of a file."""

    path: Path
    offset: int
    """Of its first byte."""
    size: int
    """In bytes."""


class Shelf(Protocol):
    """Chunks that are here. May be asked from any thread."""

    def locate(self, digest: bytes) -> Place | None:
        """Where the chunk of this digest lies, unchecked; None when it is not here."""

    def manifest(self, model_id: ModelId) -> bytes | None:
        """The canonical bytes of a model's manifest; None when it is not here."""

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        """The digests of a model's chunks that are here; None when the model is not known."""

    def named(self, name: str) -> ModelId | None:
        """The model that is known here by a name, such as `hf:org/name@commit`; None when none is."""
