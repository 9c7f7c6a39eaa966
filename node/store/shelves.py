"""All that a host can give to peers: its store, and the folders it serves from. Pure look-ups over other shelves."""

from __future__ import annotations

from collections.abc import Sequence

from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.shelf import Place, Shelf
from wire.types import ModelId


class StoreShelf:
    """What is in a store; a `Shelf`."""

    def __init__(self, store: ChunkStore) -> None:
        self._store = store

    def locate(self, digest: bytes) -> Place | None:
        """See `Shelf`."""
        return self._store.locate(digest)

    def manifest(self, model_id: ModelId) -> bytes | None:
        """See `Shelf`."""
        found = self._store.catalogue.manifest(model_id)
        return None if found is None else found.encode()

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        """See `Shelf`."""
        found = self._store.catalogue.manifest(model_id)
        if found is None:
            return None
        return [chunk.digest for chunk in chunks_of(found) if self._store.has(chunk)]

    def named(self, name: str) -> ModelId | None:
        """See `Shelf`."""
        return self._store.catalogue.called(name)


class Shelves:
    """Several shelves as one; others may be added while it is used. A `Shelf`."""

    def __init__(self) -> None:
        self._shelves: tuple[Shelf, ...] = ()

    def add(self, shelf: Shelf) -> None:
        """Offer what is on another shelf too."""
        self._shelves = (*self._shelves, shelf)

    def locate(self, digest: bytes) -> Place | None:
        """See `Shelf`."""
        return next((found for one in self._shelves if (found := one.locate(digest)) is not None), None)

    def manifest(self, model_id: ModelId) -> bytes | None:
        """See `Shelf`."""
        return next((found for one in self._shelves if (found := one.manifest(model_id)) is not None), None)

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        """See `Shelf`."""
        known = [found for one in self._shelves if (found := one.held(model_id)) is not None]
        return list(dict.fromkeys(digest for found in known for digest in found)) if known else None

    def named(self, name: str) -> ModelId | None:
        """See `Shelf`."""
        return next((found for one in self._shelves if (found := one.named(name)) is not None), None)
