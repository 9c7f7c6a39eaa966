from __future__ import annotations

import asyncio
import io
import json
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node import paths, tending
from node.models_cli import ModelsConfig
from node.status import StatusLine
from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.errors import StoreError, StoreUnusable
from node.store.folder_shelf import FolderShelf
from node.store.source import Chunk
from node.stored_model import StoredModel
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.giving import hosting, library, telling
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from wire import limits
from wire.contacts import Contact
from wire.manifest import Manifest
from wire.types import Address, ModelId

CHUNK = 4096
TENSORS = [f"model.layers.{layer}.w" for layer in range(4)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(hub: StandInHub, tmp_path: Path) -> Path:
    dice = random.Random(4)
    return write_checkpoint(tmp_path / "model", {name: dice.randbytes(3 * CHUNK) for name in TENSORS})


@pytest.fixture
async def store(hub: StandInHub, folder: Path) -> ChunkStore:
    """This user's store, with two layers of a hub's model."""
    hub.publish("org/name", folder)
    home = paths.data_dir()
    paths.make_private(home)
    (home / "store").symlink_to(paths.weights_dir())
    paths.make_private(paths.weights_dir())
    async with library(home, reads_all=True) as used:
        model = await used.open("hf:org/name")
        assert isinstance(model, StoredModel)
        await model.need(TENSORS[:2])
    shutil.copytree(home / "cache", paths.cache_dir())
    hub.seen.clear()
    return ChunkStore(paths.weights_dir())


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    return FolderShelf.of(folder).known


async def said(**words: Any) -> tuple[bool, list[dict[str, Any]]]:
    """Run the command; returns whether all is whole, and its events."""
    out = io.StringIO()
    whole = await tending.run(ModelsConfig(json=True, **words), StatusLine(as_json=True, out=out))
    return whole, [json.loads(line) for line in out.getvalue().splitlines()]


def damage(store: ChunkStore, *digests: bytes) -> None:
    for digest in digests:
        path = store.path(digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


async def test_what_is_here_is_shown_to_a_person(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tending.run(ModelsConfig(), StatusLine(as_json=False))
    captured = capsys.readouterr()
    assert "24.6 kB of 49.2 kB, layers 0:2" in captured.out
    assert "hf:org/name@" in captured.out
    assert captured.err == ""


async def test_what_is_here_is_told_to_a_script(store: ChunkStore, manifest: Manifest) -> None:
    whole, events = await said()
    assert whole
    (models,) = events
    assert models["event"] == "models"
    assert models["folder"] == str(store.root)
    assert [one["model"] for one in models["models"]] == [str(manifest.model_id)]
    assert set(models) == {
        *("event", "folder", "bytes_on_disk", "bytes_in_use", "bytes_free", "bytes_unknown", "models")
    }


async def test_a_machine_without_weights_is_no_error(hub: StandInHub) -> None:
    whole, (event,) = await said()
    assert whole
    assert (event["event"], event["models"]) == ("models", [])


async def test_a_sound_store_is_found_sound(store: ChunkStore, hub: StandInHub) -> None:
    whole, events = await said(check=True, repair=True)
    assert whole
    assert [one["event"] for one in events] == ["checked", "models"]
    assert events[0]["damaged"] == []
    assert hub.seen == []


async def test_damage_is_found_and_left_alone_by_a_check(store: ChunkStore, manifest: Manifest) -> None:
    broken = manifest.tensors[1].chunks[2]
    damage(store, broken)
    whole, events = await said(check=True)
    assert not whole
    assert events[0]["damaged"] == [broken.hex()]
    assert store.locate(broken) is not None


async def test_a_repair_fetches_the_broken_chunk_and_no_other(
    store: ChunkStore, manifest: Manifest, hub: StandInHub
) -> None:
    damage(store, manifest.tensors[1].chunks[2])
    whole, events = await said(repair=True)
    assert whole
    assert (events[1]["event"], events[1]["mended"], events[1]["removed"]) == ("repaired", 1, 0)
    assert store.check() == []
    assert [one.sent for one in hub.asked(server="storage")] == [CHUNK]


async def test_small_files_and_manifests_are_repaired_too(
    store: ChunkStore, manifest: Manifest, folder: Path
) -> None:
    damage(store, manifest.files[0].digest, manifest.model_id.digest, manifest.tensors[0].chunks[0])
    (entry,) = store.catalogue.entries()
    async with hosting(telling(folder, *entry.names)) as contact:
        whole, events = await said(repair=True, peers=(Contact(address=contact),))
    assert whole, events
    assert events[1]["mended"] == 3
    assert store.check() == []
    assert store.catalogue.manifest(manifest.model_id) == manifest


async def test_peers_repair_what_no_hub_has(
    store: ChunkStore, manifest: Manifest, folder: Path, hub: StandInHub
) -> None:
    store.catalogue.forget(manifest.model_id)
    store.catalogue.used(manifest.model_id)
    damage(store, *manifest.tensors[0].chunks)
    shelf = telling(folder)
    async with hosting(shelf, network="club") as contact:
        whole, _ = await said(repair=True, peers=(Contact(address=contact),), network="club")
    assert whole
    assert sorted(shelf.given) == sorted(manifest.tensors[0].chunks)
    assert store.check() == []
    assert hub.seen == []


async def test_what_cannot_be_repaired_is_removed_and_told(
    store: ChunkStore, manifest: Manifest, hub: StandInHub
) -> None:
    store.catalogue.forget(manifest.model_id)
    store.catalogue.used(manifest.model_id)
    damage(store, manifest.tensors[0].chunks[0])
    whole, events = await said(repair=True, peers=(Contact(address=Address("127.0.0.1", 1)),))
    assert not whole
    assert [one["event"] for one in events] == ["checked", "not-repaired", "repaired", "models"]
    assert "there is no source" in events[1]["message"]
    assert (events[2]["mended"], events[2]["removed"]) == (0, 1)
    assert store.locate(manifest.tensors[0].chunks[0]) is None


async def test_damage_in_chunks_of_no_model_is_only_removed(store: ChunkStore, manifest: Manifest) -> None:
    store.catalogue.forget(manifest.model_id)
    damage(store, manifest.tensors[0].chunks[0])
    whole, events = await said(repair=True)
    assert whole
    assert events[1]["removed"] == 1


async def test_what_nobody_uses_is_removed_for_room(store: ChunkStore, manifest: Manifest) -> None:
    with store.lease() as lease:
        lease.pin(chunks_of(manifest, tensors=TENSORS[:1], files=()))
        _, events = await said(prune_bytes=0)
        # The other layer, config and manifest.
        assert (events[0]["event"], events[0]["chunks"], events[0]["short"]) == ("pruned", 5, 3 * CHUNK)
        assert sorted(store.sizes()) == sorted(manifest.tensors[0].chunks)
    _, events = await said(prune_bytes=2 * CHUNK)
    assert (events[0]["chunks"], events[0]["short"]) == (1, 0)
    assert len(store.sizes()) == 2


async def test_a_model_can_be_forgotten_and_its_chunks_then_go_first(
    store: ChunkStore, manifest: Manifest
) -> None:
    _, events = await said(forget=manifest.model_id)
    assert events[0] == {"event": "forgotten", "model": str(manifest.model_id)}
    assert events[1]["models"] == []
    assert events[1]["bytes_unknown"] > 0
    assert not list((store.root / "views").iterdir())
    with pytest.raises(StoreError, match=r"is not in .*`lamella-node models` lists those that are"):
        await said(forget=ModelId(bytes(32)))


async def test_a_store_that_cannot_be_used_is_told(hub: StandInHub) -> None:
    paths.make_private(paths.data_dir())
    paths.weights_dir().write_text("a file where the folder should be")
    with pytest.raises(StoreUnusable, match=r"weights/chunks cannot be used \(Not a directory\)"):
        await said()


async def test_a_check_that_is_given_up_ends(store: ChunkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ChunkStore.read

    def slow(self: ChunkStore, chunk: Chunk) -> bytes:
        asked.set()
        return read(self, chunk)

    asked = threading.Event()
    monkeypatch.setattr(ChunkStore, "read", slow)
    checking = asyncio.create_task(said(check=True))
    await asyncio.to_thread(asked.wait, 20)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
