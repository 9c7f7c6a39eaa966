"""What a model of the store needs is brought, kept, mended and never taken for whole when it is not."""

from __future__ import annotations

import errno
import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.hub_check import NotTheHubs, Witness
from node.store.catalogue import chunks_of, manifest_chunk
from node.store.chunks import ChunkStore
from node.store.distrust import Distrust
from node.store.errors import (
    BadCheckpoint,
    DiskFull,
    NotFetched,
    QuotaExceeded,
    StoreError,
    StoreUnusable,
)
from node.store.source import Chunk, Source
from node.store.views import place
from node.stored_model import LocalModel, StoredModel
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.sources import FakeSource
from wire import limits
from wire.manifest import Base, FileEntry, Manifest, TensorEntry
from wire.tensors import WeightFormat
from wire.types import ModelId

CHUNK = 1000
SMALL = {"config.json": b"{}", "tokenizer.json": b"words"}
DICE = random.Random(2)
TENSORS = {f"model.layers.{layer}.w": DICE.randbytes(2500) for layer in range(4)}


def entry(name: str, data: bytes) -> TensorEntry:
    pieces = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    digests = tuple(hashlib.sha256(one).digest() for one in pieces)
    return TensorEntry(name=name, dtype="U8", shape=(len(data),), size=len(data), chunks=digests)


def manifest_of(base: Base | None = None) -> Manifest:
    files = tuple(
        FileEntry(name=name, size=len(data), digest=hashlib.sha256(data).digest())
        for name, data in SMALL.items()
    )
    return Manifest(files=files, tensors=tuple(entry(*one) for one in TENSORS.items()), base=base)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)


def everything(manifest: Manifest) -> dict[Chunk, bytes]:
    whole = {**SMALL, **TENSORS}
    return {one: whole[one.name][one.offset : one.offset + one.size] for one in chunks_of(manifest)}


class Machine:
    """A store, and a model of it with the sources given."""

    def __init__(self, home: Path, *sources: Source, manifest: Manifest | None = None, **fields: Any) -> None:
        self.store = ChunkStore(home / "store")
        self.manifest = manifest or manifest_of()
        self.distrust = Distrust(home / "distrusted.json")
        self.asked = 0
        lease = self.store.lease()
        data = self.manifest.encode()
        chunk = manifest_chunk(self.manifest.model_id, len(data))
        lease.pin([chunk])
        lease.put(chunk, data)

        async def found(_tensors: Collection[str]) -> Sequence[Source]:
            self.asked += 1
            return sources

        described: dict[str, Any] = {"name": str(self.manifest.model_id), "claimant": None}
        self.model = StoredModel(
            manifest=self.manifest,
            lease=lease,
            folder=place(self.store, self.manifest.model_id),
            sources=found,
            distrust=self.distrust,
            **(described | fields),
        )

    def here(self) -> set[str]:
        """The tensors and files that are here whole, each chunk checked."""
        assert self.store.check() == []
        missing = {one.name for one in self.store.missing(chunks_of(self.manifest))}
        return {*SMALL, *TENSORS} - missing


def peer(label: str = "peer a", manifest: Manifest | None = None) -> FakeSource:
    return FakeSource(label, everything(manifest or manifest_of()))


LAYERS = list(TENSORS)


async def test_what_is_needed_is_brought_and_what_is_here_is_not_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, peer())
    await machine.model.need_files(["config.json"])
    told: list[tuple[int, int]] = []
    report = await machine.model.need(LAYERS[1:3], progress=lambda done, of: told.append((done, of)))
    assert report is not None
    assert (report.kept_bytes, told[-1]) == (5000, (5000, 5000))
    assert machine.here() == {"config.json", *LAYERS[1:3]}
    assert machine.asked == 2
    assert await machine.model.need(LAYERS[1:3]) is None
    assert machine.asked == 2


async def test_the_folder_shows_the_small_files_that_are_here(tmp_path: Path) -> None:
    machine = Machine(tmp_path, peer())
    await machine.model.need_files(["config.json"])
    assert (machine.model.folder / "config.json").read_bytes() == b"{}"
    assert not (machine.model.folder / "tokenizer.json").exists()
    await machine.model.need_files(None)
    assert (machine.model.folder / "tokenizer.json").read_bytes() == b"words"


async def test_a_small_file_that_is_damaged_is_fetched_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path, peer())
    await machine.model.need_files(None)
    for name, data in SMALL.items():
        machine.store.path(hashlib.sha256(data).digest()).write_bytes(b"#" * len(data))
        await machine.model.need_files([name])
        assert (machine.model.folder / name).read_bytes() == data
    assert caplog.text.count("fetching it anew") == 2


async def test_a_damaged_file_that_nobody_wants_is_only_removed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, peer())
    await machine.model.need_files(None)
    machine.store.path(hashlib.sha256(b"words").digest()).write_bytes(b"sword")
    await machine.model.need_files(["config.json"])
    assert machine.here() == {"config.json"}


async def test_a_damaged_chunk_is_mended_and_no_other_is_read(tmp_path: Path) -> None:
    source = peer()
    machine = Machine(tmp_path, source)
    await machine.model.need(LAYERS)
    broken = machine.manifest.tensors[2].chunks[1]
    machine.store.path(broken).write_bytes(bytes(CHUNK))
    source.batches.clear()
    await machine.model.mend(broken)
    assert [[one.digest for one in batch] for batch in source.batches] == [[broken]]
    assert machine.here() == set(LAYERS)


async def test_a_damaged_chunk_that_nobody_has_is_not_taken_for_whole(tmp_path: Path) -> None:
    machine = Machine(tmp_path, peer())
    await machine.model.need(LAYERS)
    alone = Machine(tmp_path)
    await alone.model.need(LAYERS)
    broken = machine.manifest.tensors[2].chunks[1]
    with pytest.raises(NotFetched, match=r"1 chunks .*there is no source"):
        await alone.model.mend(broken)
    assert alone.here() == set(LAYERS) - {LAYERS[2]}


async def test_chunks_can_be_asked_for_by_digest(tmp_path: Path) -> None:
    machine = Machine(tmp_path, peer())
    wanted = [machine.manifest.tensors[0].chunks[2], machine.manifest.files[0].digest, bytes(32)]
    report = await machine.model.need_chunks(wanted)
    assert report is not None
    assert report.kept_bytes == 500 + 2


async def test_a_liar_is_dropped_and_remembered_and_others_deliver(tmp_path: Path) -> None:
    liar, honest = peer("peer liar"), peer("peer honest")
    liar.lies = list(everything(manifest_of()))
    machine = Machine(tmp_path, liar, honest)
    await machine.model.need(LAYERS)
    assert machine.here() == set(LAYERS)
    assert "peer liar" in machine.distrust
    assert "peer honest" not in machine.distrust


def hub_of(source: FakeSource) -> Witness:
    return Witness(source, "hf:org/name")


NAME = "hf:org/name@" + "0" * 40


async def test_of_a_claim_one_chunk_comes_from_the_hub_and_then_the_name_is_known(tmp_path: Path) -> None:
    hub = peer("hub")
    machine = Machine(tmp_path, hub_of(hub), peer(), name=NAME, claimant="peer a")
    assert machine.model.title == "name"
    await machine.model.need_files(None)
    assert machine.store.catalogue.called(NAME) is None
    hub.batches.clear()
    await machine.model.need(LAYERS[:2])
    assert len(hub.batches[0]) == 1
    assert machine.store.catalogue.called(NAME) == machine.manifest.model_id
    assert machine.here() == {*SMALL, *LAYERS[:2]}


async def test_a_claim_that_the_hub_contradicts_is_refused_and_its_claimant_remembered(
    tmp_path: Path,
) -> None:
    hub = peer("hub")
    hub.lies = [one for one in everything(manifest_of()) if one.name in LAYERS]
    # A peer that lies would have delivered everything before the hub has said a word.
    hub.chunk_s = 0.3
    machine = Machine(tmp_path, hub_of(hub), peer(), name=NAME, claimant="peer a")
    with pytest.raises(NotTheHubs) as refused:
        await machine.model.need(LAYERS)
    assert refused.value.next_step
    assert "peer a" in machine.distrust
    assert "hub" not in machine.distrust
    assert machine.store.catalogue.called(NAME) is None


async def test_a_name_whose_manifest_the_hub_contradicts_is_forgotten(tmp_path: Path) -> None:
    hub = peer("hub")
    hub.lies = [one for one in everything(manifest_of()) if one.name in LAYERS]
    machine = Machine(tmp_path, hub_of(hub), name=NAME)
    machine.store.catalogue.used(machine.manifest.model_id, NAME, "/a/folder")
    with pytest.raises(NotTheHubs):
        await machine.model.need(LAYERS)
    assert machine.store.catalogue.called(NAME) is None
    assert machine.store.catalogue.called("/a/folder") == machine.manifest.model_id


@pytest.mark.parametrize("fails_at", [1, 4, 9])
async def test_a_disk_that_fills_up_loses_nothing_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    machine = Machine(tmp_path, peer())
    written = 0
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        nonlocal written
        if path.parent.name == "new":
            written += 1
            if written >= fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DiskFull, match="there is no room left on the disk") as refused:
        await machine.model.need(LAYERS)
    assert "make room" in refused.value.next_step
    assert list((machine.store.root / "new").iterdir()) == []
    assert machine.store.check() == []
    kept = sum(size for digest, size in machine.store.sizes().items()) - len(machine.manifest.encode())
    monkeypatch.undo()
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)
    report = await machine.model.need(LAYERS)
    assert report is not None
    assert report.kept_bytes == 10_000 - kept
    assert machine.here() == set(LAYERS)


async def test_a_store_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, peer())
    opener = Path.open

    def read_only(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "r" not in mode:
            raise OSError(errno.EROFS, "Read-only file system")
        return opener(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(StoreUnusable, match=r"cannot be used \(Read-only file system\); check the folder"):
        await machine.model.need(LAYERS)


async def test_a_manifest_that_gives_one_chunk_two_sizes_is_refused(tmp_path: Path) -> None:
    found = manifest_of()
    other = TensorEntry(name="x", dtype="U8", shape=(5,), size=5, chunks=found.tensors[0].chunks[:1])
    machine = Machine(tmp_path, peer(), manifest=replace(found, tensors=(*found.tensors, other)))
    with pytest.raises(BadCheckpoint, match="gives a chunk of x two sizes"):
        await machine.model.need([LAYERS[0], "x"])
    await machine.model.need([LAYERS[0]])
    with pytest.raises(BadCheckpoint, match="gives a chunk of x two sizes"):
        await machine.model.need(["x"])


async def test_a_manifest_of_sizes_that_no_disk_has_is_refused_by_the_quota(tmp_path: Path) -> None:
    digests = tuple(number.to_bytes(32, "big") for number in range(5_000))
    huge = TensorEntry(name="x", dtype="U8", shape=(1,), size=len(digests) * CHUNK, chunks=digests)
    source = peer()
    machine = Machine(tmp_path, source, manifest=replace(manifest_of(), tensors=(huge,)))
    machine.store.quota_bytes = 10**7
    with pytest.raises(QuotaExceeded, match=r"0\.02 GB would be in use .*raise --disk"):
        await machine.model.need(["x"])
    assert source.batches == []
    assert machine.asked == 0


def test_a_quantised_model_serves_the_one_it_was_made_from(tmp_path: Path) -> None:
    base = Base(ModelId(bytes(32)), WeightFormat.INT8)
    model = Machine(tmp_path, manifest=manifest_of(base)).model
    assert (model.model, model.weights) == (base.model, manifest_of(base).model_id)
    assert model.title == model.weights.short
    assert model.is_stored


async def test_a_folder_has_everything_and_cannot_be_mended(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", {"a": b"0123"})
    model = await LocalModel.read(folder, cache_dir=tmp_path / "cache")
    assert (model.name, model.title, model.is_stored) == (str(folder), "tiny", False)
    assert await model.need(["a", "b"]) is None
    with pytest.raises(StoreError, match="cannot be repaired from here; fetch the checkpoint again"):
        await model.mend(bytes(32))
