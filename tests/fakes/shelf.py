"""A shelf in a folder, one file a chunk, and a model made of given chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from node.store.shelf import Place
from node.store.source import Chunk
from wire.manifest import FileEntry, Manifest
from wire.types import ModelId

NAMES = ("config.json", "merges.txt", "tokenizer.json", "vocab.json")


class FakeShelf:
    """Chunks as files of a folder, each after some bytes that are not its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.places: dict[bytes, Place] = {}
        self.manifests: dict[ModelId, bytes] = {}
        self.names: dict[str, ModelId] = {}

    def put(self, data: bytes) -> bytes:
        """Hold a chunk; returns its digest."""
        digest = hashlib.sha256(data).digest()
        path = self.folder / digest.hex()
        path.write_bytes(b"before" + data + b"after")
        self.places[digest] = Place(path=path, offset=6, size=len(data))
        return digest

    def locate(self, digest: bytes) -> Place | None:
        return self.places.get(digest)

    def manifest(self, model_id: ModelId) -> bytes | None:
        return self.manifests.get(model_id)

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        return list(self.places) if model_id in self.manifests else None

    def named(self, name: str) -> ModelId | None:
        return self.names.get(name)


def model_of(pieces: Sequence[bytes]) -> tuple[Manifest, list[Chunk]]:
    """A model whose small files are these."""
    names = NAMES[: len(pieces)]
    entries = tuple(
        FileEntry(name=name, size=len(data), digest=hashlib.sha256(data).digest())
        for name, data in zip(names, pieces, strict=True)
    )
    return Manifest(files=entries, tensors=()), [
        Chunk(digest=one.digest, size=one.size, name=one.name, is_file=True) for one in entries
    ]
