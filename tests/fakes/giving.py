"""Peers that give chunks over a real port, honest ones and others, and a library that asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crypto.identity import Identity
from node.model_library import Library, LibraryTerms, Neighbour
from node.store.catalogue import manifest_chunk
from node.store.chunks import ChunkStore
from node.store.folder_shelf import FolderShelf
from node.store.pace import Pace
from node.store.peer_source import Asker
from node.store.share import ShareServer
from node.store.share_auth import Gate, OpenGate, SwarmGate
from node.store.shelf import Place
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.manifest import Manifest
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting
from wire.types import Address, ModelId

ME = Identity.from_seed(bytes([77]) * 32)


@dataclass
class TellingShelf:
    """A folder's chunks, and what it is said to be; a `Shelf`."""

    known: FolderShelf
    names: dict[str, ModelId] = field(default_factory=dict)
    gives: bool = True
    """Whether it has any chunk, or only words."""
    asked: list[str] = field(default_factory=list)
    """Names it was asked for."""
    given: list[bytes] = field(default_factory=list)
    """Digests of chunks that it was asked for."""

    def locate(self, digest: bytes) -> Place | None:
        self.given.append(digest)
        return self.known.locate(digest) if self.gives else None

    def manifest(self, model_id: ModelId) -> bytes | None:
        return self.known.manifest(model_id)

    def held(self, model_id: ModelId) -> Sequence[bytes] | None:
        return (self.known.held(model_id) if self.gives else []) if self.manifest(model_id) else None

    def named(self, name: str) -> ModelId | None:
        self.asked.append(name)
        return self.names.get(name)


def telling(folder: Path, *names: str, gives: bool = True, manifest: Manifest | None = None) -> TellingShelf:
    """A shelf over a folder that calls it by these names; another manifest than the folder's is a lie."""
    shelf = FolderShelf.of(folder) if manifest is None else FolderShelf.described(folder, manifest)
    return TellingShelf(shelf, dict.fromkeys(names, shelf.known.model_id), gives)


@asynccontextmanager
async def giving(
    shelf: TellingShelf, seed: int = 1, *, gate: Gate | None = None, network: str = "main"
) -> AsyncIterator[Neighbour]:
    """A peer with this shelf."""
    peer = Identity.from_seed(bytes([seed]) * 32).peer_id
    server = ShareServer(shelf, me=peer, gate=gate or OpenGate(), network=network)
    try:
        yield Neighbour(peer, await server.start(Address("127.0.0.1", 0)))
    finally:
        await server.close(grace_s=0.05)


@asynccontextmanager
async def hosting(shelf: TellingShelf, seed: int = 1, *, network: str = "main") -> AsyncIterator[Address]:
    """A host that says over its links where it gives what is on a shelf; yields where its links are taken."""
    gate = OpenGate() if network == "main" else SwarmGate()
    async with giving(shelf, seed, gate=gate, network=network) as neighbour:

        def on_message(link: Link, message: Message) -> None:
            if isinstance(message, Describe):
                link.send(Hosting(offers=(), draining=False, shares=neighbour.address.port))

        pool = LinkPool(
            Identity.from_seed(bytes([seed]) * 32),
            network,
            "test",
            on_message=on_message,
            on_closed=lambda *_: None,
        )
        try:
            yield await pool.listen(Address("127.0.0.1", 0))
        finally:
            await pool.close()


def library(
    home: Path, *peers: Neighbour, network: str = "main", pace: Pace | None = None, **terms: Any
) -> Library:
    """A library whose store and cache are in `home`, and which knows these peers."""

    async def neighbours(_model: ModelId | None) -> Sequence[Neighbour]:
        return peers

    made = LibraryTerms(root=home / "store", cache_dir=home / "cache", **terms)
    return Library(made, neighbours=neighbours, asker=Asker(identity=ME, network=network), pace=pace)


def describe(home: Path, manifest: Manifest, *names: str) -> None:
    """Let the store in `home` know a model, as publishing it does."""
    store = ChunkStore(home / "store")
    data = manifest.encode()
    with store.lease() as lease:
        chunk = manifest_chunk(manifest.model_id, len(data))
        lease.pin([chunk])
        lease.put(chunk, data)
    store.catalogue.used(manifest.model_id, *names)
