"""A thousand bytes turned on their way, or where they lie: none of them is ever used, and only its chunk comes anew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from node.loading import load
from node.slices.chunked import ChunkReader
from node.slices.compute import ComputeThread
from node.store import schedule
from node.store.catalogue import chunks_of
from node.store.errors import NotFetched
from node.store.fetch import fetch
from node.store.peer_source import PeerSource, client_session
from node.store.shelf import Place
from node.store.source import Chunk
from node.stored_model import StoredModel
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.deadline import until
from tests.fakes.giving import describe, giving, library, telling
from tests.fakes.hub import StandInHub, flip
from tests.fakes.hub_machine import fresh_machine
from wire import limits
from wire.manifest import Manifest

CHUNK = 2048
AT_HUB, AT_PEER, ON_DISK = 333, 333, 334


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)
    # A source rests after a failure; a thousand rests are a long time.
    monkeypatch.setattr(schedule, "BACKOFF_S", 0.001)
    with StandInHub(redirects=False) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def tensors() -> dict[str, bytes]:
    dice = random.Random(8)
    return {f"model.layers.{layer}.w": dice.randbytes(4 * CHUNK + 700) for layer in range(10)}


@pytest.fixture
def folder(hub: StandInHub, tmp_path: Path, tensors: dict[str, bytes]) -> Path:
    return write_checkpoint(tmp_path / "model", tensors)


@pytest.fixture
async def model(hub: StandInHub, folder: Path, tmp_path: Path) -> AsyncIterator[StoredModel]:
    """A hub's model of which everything is here."""
    name = f"hf:org/name@{hub.publish('org/name', folder)}"
    describe(tmp_path, telling(folder).known.known, name)
    # Its checks take half the time here, and thousands of fetches show nothing that one does not.
    asyncio.get_running_loop().set_debug(False)
    async with library(tmp_path) as used:
        found = await used.open("hf:org/name")
        assert isinstance(found, StoredModel)
        await found.need([one.name for one in found.manifest.tensors])
        yield found


def chunks(manifest: Manifest) -> list[Chunk]:
    return chunks_of(manifest, files=())


def contents(tensors: dict[str, bytes], chunk: Chunk) -> bytes:
    return tensors[chunk.name][chunk.offset : chunk.offset + chunk.size]


async def test_at_the_hub(hub: StandInHub, model: StoredModel, tensors: dict[str, bytes]) -> None:
    dice = random.Random(1)
    store = model.lease.store
    for _ in range(AT_HUB):
        chunk = dice.choice(chunks(model.manifest))
        store.discard(chunk.digest)
        hub.seen.clear()
        hub.fault("/resolve/", flip(dice.randrange(chunk.size)))
        await model.need([chunk.name])
        # With the turned byte, to see whether the hub means it, and to have it.
        # The stand-in counts an answer once it has been sent, which may be after it was read.
        await until(partial(_were_sent, hub, [chunk.size] * 3))
        assert store.read(chunk) == contents(tensors, chunk)
    assert "hub hf:org/name" not in model.distrust


def _were_sent(hub: StandInHub, sizes: list[int]) -> bool:
    return [one.sent for one in hub.seen] == sizes


async def test_at_a_peer(model: StoredModel, folder: Path, tmp_path: Path, tensors: dict[str, bytes]) -> None:
    dice = random.Random(2)
    store, shelf = model.lease.store, telling(folder)

    def keep(chunk: Chunk, data: bytes) -> None:
        model.lease.put(chunk, data)

    async with giving(shelf) as neighbour, client_session() as session:
        source = PeerSource(session, neighbour.address, neighbour.peer)
        await source.learn(model.manifest)
        for _ in range(AT_PEER):
            chunk = dice.choice(chunks(model.manifest))
            store.discard(chunk.digest)
            right = shelf.known.places[chunk.digest]
            data = bytearray(contents(tensors, chunk))
            data[dice.randrange(chunk.size)] ^= 1 << dice.randrange(8)
            (tmp_path / "turned").write_bytes(data)
            seen = (tmp_path / "turned").stat()
            shelf.known.seen[tmp_path / "turned"] = (seen.st_size, seen.st_mtime_ns)
            shelf.known.places[chunk.digest] = Place(tmp_path / "turned", 0, chunk.size)
            with pytest.raises(NotFetched, match="sent wrong bytes"):
                await fetch([chunk], [source], keep=keep)
            assert store.locate(chunk.digest) is None
            shelf.known.places[chunk.digest] = right
            report = await fetch([chunk], [source], keep=keep)
            assert report.kept_bytes == chunk.size
            assert store.read(chunk) == contents(tensors, chunk)


async def test_on_the_disk(hub: StandInHub, model: StoredModel, tensors: dict[str, bytes]) -> None:
    dice = random.Random(3)
    store, reader = model.lease.store, ChunkReader(model.folder)
    compute = ComputeThread(1)
    compute.start()
    try:
        for _ in range(ON_DISK):
            entry = dice.choice(model.manifest.tensors)
            chunk = dice.choice(chunks_of(model.manifest, tensors=[entry.name], files=()))
            path = store.path(chunk.digest)
            data = bytearray(path.read_bytes())
            data[dice.randrange(chunk.size)] ^= 1 << dice.randrange(8)
            path.write_bytes(data)

            def work(digests: tuple[bytes, ...] = entry.chunks, size: int = entry.size) -> bytes:
                view = bytearray(size)
                reader.fill(memoryview(view), digests, size, 0)
                return bytes(view)

            hub.seen.clear()
            assert await load(model, compute, work) == tensors[entry.name]
            assert [one.sent for one in hub.seen] == [chunk.size]
            assert store.read(chunk) == contents(tensors, chunk)
    finally:
        await compute.stop()
