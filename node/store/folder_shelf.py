"""A checkpoint folder as a shelf: where in its safetensors files each chunk lies, so that a host can give it to peers.

A file that is written to afterwards is not given any more: it no longer holds what the manifest says, and a host that
sends wrong bytes is avoided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node.store.catalogue import chunks_of
from node.store.checkpoint import build_manifest, weight_files
from node.store.safetensors_header import read_header
from node.store.shelf import Place
from wire.manifest import Manifest
from wire.types import ModelId


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """The chunks of one checkpoint; a `Shelf`."""

    known: Manifest
    places: dict[bytes, Place]
    seen: dict[Path, tuple[int, int]]
    """Size and time of each file when it was described."""

    @classmethod
    def of(cls, folder: Path, *, progress: Callable[[float], None] | None = None) -> Self:
        """Read every byte of a checkpoint. Raises `BadCheckpoint`."""
        return cls.described(folder, build_manifest(folder, progress=progress))

    @classmethod
    def described(cls, folder: Path, manifest: Manifest) -> Self:
        """For a checkpoint whose manifest is known; reads headers only. Raises `BadCheckpoint`."""
        starts = {
            place.name: (path, place.start) for path in weight_files(folder) for place in read_header(path)
        }
        places: dict[bytes, Place] = {}
        for chunk in chunks_of(manifest):
            if chunk.is_file:
                places[chunk.digest] = Place(folder / chunk.name, 0, chunk.size)
            elif chunk.name in starts:
                path, start = starts[chunk.name]
                places[chunk.digest] = Place(path, start + chunk.offset, chunk.size)
        return cls(manifest, places, {path: _state(path) for path in {one.path for one in places.values()}})

    def locate(self, digest: bytes) -> Place | None:
        """See `Shelf`."""
        place = self.places.get(digest)
        return place if place is not None and _state(place.path) == self.seen[place.path] else None

    def manifest(self, model_id: ModelId) -> bytes | None:
        """See `Shelf`."""
        return self.known.encode() if model_id == self.known.model_id else None

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        """See `Shelf`."""
        return list(self.places) if model_id == self.known.model_id else None

    def named(self, name: str) -> ModelId | None:  # noqa: ARG002 - a shelf is asked by any name
        """See `Shelf`. A folder's name is nobody else's business."""
        return None


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file is written; of one that is gone, nothing that any has."""
    try:
        seen = path.stat()
    except OSError:
        return -1, -1
    return seen.st_size, seen.st_mtime_ns
