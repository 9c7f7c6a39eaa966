"""A model is found by its name, what is needed of it comes here, and who lies about it is not believed."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.hub_check import NotTheHubs
from node.manners.pacing import Pacer
from node.model_library import Library, NotDescribed, NotToFetch
from node.store.chunks import ChunkStore
from node.store.errors import NotFetched, QuotaExceeded, StoreError, UnknownModel
from node.store.folder_shelf import FolderShelf
from node.store.hub_errors import HubNotFound, HubOffline
from node.store.hub_name import BadHubName
from node.store.share_auth import SwarmGate
from node.stored_model import StoredModel
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.giving import describe, giving, library, telling
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from tests.fakes.pace import HandPace
from wire import limits
from wire.manifest import Base, Manifest
from wire.tensors import WeightFormat
from wire.types import ModelId

CHUNK = 4096
NAME = "hf:org/name"
FILES = ("config.json",)
WANTED = [f"model.layers.{layer}.w" for layer in (2, 3)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(hub: StandInHub, tmp_path: Path) -> Path:
    """A checkpoint of eight layers whose tensors are three chunks each, in two files."""
    dice = random.Random(3)
    layers = [{f"model.layers.{layer}.w": dice.randbytes(2 * CHUNK + 100)} for layer in range(8)]
    shards = [
        {name: data for layer in half for name, data in layer.items()} for half in (layers[:4], layers[4:])
    ]
    made = write_checkpoint(tmp_path / "model", *shards)
    (made / "tokenizer.json").write_bytes(dice.randbytes(5000))
    return made


@pytest.fixture
def full(hub: StandInHub, folder: Path) -> str:
    """The model on the hub, by its whole name."""
    return f"{NAME}@{hub.publish('org/name', folder)}"


def manifest_of(folder: Path) -> Manifest:
    return FolderShelf.of(folder).known


def bytes_of(hub: StandInHub, match: str) -> int:
    return sum(one.sent for one in hub.asked(match))


async def bring(used: Library, name: str = NAME) -> StoredModel:
    model = await used.open(name, files=FILES)
    assert isinstance(model, StoredModel)
    await model.need(WANTED)
    return model


def is_here(home: Path, manifest: Manifest, names: list[str]) -> bool:
    """Whether a store has these tensors, byte for byte; reading checks each."""
    store = ChunkStore(home / "store")
    digests = {digest for one in manifest.tensors if one.name in names for digest in one.chunks}
    return not store.check() and digests <= set(store.sizes())


async def test_a_folder_is_used_where_it_lies(folder: Path, tmp_path: Path) -> None:
    async with library(tmp_path) as used:
        model = await used.open(str(folder))
        assert (model.folder, model.is_stored, model.title) == (folder, False, "model")
        assert model.model == manifest_of(folder).model_id
        assert await model.need(WANTED) is None
    assert not (tmp_path / "store").exists()


async def test_of_a_described_model_only_what_is_needed_is_fetched(
    hub: StandInHub, folder: Path, full: str, tmp_path: Path
) -> None:
    describe(tmp_path, manifest_of(folder), full)
    async with library(tmp_path) as used:
        model = await bring(used)
        assert (model.name, model.title) == (full, "name")
        assert (model.folder / "config.json").read_bytes() == (folder / "config.json").read_bytes()
        assert not (model.folder / "tokenizer.json").exists()
    assert is_here(tmp_path, manifest_of(folder), WANTED)
    assert bytes_of(hub, "tokenizer.json") == 0
    # Both tensors are in one file, side by side; the header is the file's first 128 KiB, here all of it.
    (chunks,) = [one for one in hub.asked("/blobs/") if one.range is not None]
    assert chunks.sent == 2 * (2 * CHUNK + 100)


async def test_without_a_manifest_a_client_is_told_what_to_do(full: str, tmp_path: Path) -> None:
    async with library(tmp_path) as used:
        with pytest.raises(NotDescribed, match=f"no manifest of {full} is here") as refused:
            await used.open(NAME, files=FILES)
    assert f"lamella-node publish {full}" in refused.value.next_step


async def test_a_host_reads_everything_once_when_nobody_else_has(
    hub: StandInHub, folder: Path, full: str, tmp_path: Path
) -> None:
    told: list[float] = []
    async with library(tmp_path, reads_all=True) as used:
        model = await used.open(NAME, files=FILES, progress=told.append)
        assert model.model == manifest_of(folder).model_id
        await model.need(WANTED)
    assert told[-1] == 1.0
    assert is_here(tmp_path, manifest_of(folder), WANTED)
    before = bytes_of(hub, "/blobs/")
    async with library(tmp_path, reads_all=True) as again:
        await bring(again)
    assert bytes_of(hub, "/blobs/") == before


async def test_the_cap_holds_while_everything_is_read(full: str, tmp_path: Path) -> None:
    began = time.monotonic()
    async with library(tmp_path, pace=Pacer(download_bytes_per_s=100_000), reads_all=True) as used:
        await used.open(NAME, files=FILES)
        # Headers and tensors are 2 times 66 kB; a quarter of a second's allowance passes at once.
        assert time.monotonic() - began > 0.9
        assert 2 * 60_000 < used.intake.hub.nbytes < 2 * 70_000


async def test_what_peers_give_goes_through_the_limit_and_is_counted(folder: Path, tmp_path: Path) -> None:
    pace = HandPace()
    model = str(manifest_of(folder).model_id)
    async with giving(telling(folder)) as peer, library(tmp_path, peer, pace=pace) as used:
        report = await (await used.open(model, files=FILES)).need(WANTED)
        assert report is not None
        assert sum(pace.download.taken) == used.intake.peers.nbytes > report.kept_bytes > 0
        assert used.intake.hub.nbytes == 0
        assert sum(pace.upload.spent) > 500, "requests are counted too"


async def test_a_peers_manifest_serves_once_the_hub_bears_it_out(
    hub: StandInHub, folder: Path, full: str, tmp_path: Path
) -> None:
    async with giving(telling(folder, full)) as peer, library(tmp_path, peer) as used:
        model = await used.open(NAME, files=FILES)
        catalogue = ChunkStore(tmp_path / "store").catalogue
        assert catalogue.called(full) is None
        assert await model.need(WANTED) is not None
        assert catalogue.called(full) == manifest_of(folder).model_id
    assert is_here(tmp_path, manifest_of(folder), WANTED)
    assert [one for one in hub.asked("/blobs/") if one.range is not None]


def copied(folder: Path, where: Path) -> Path:
    return Path(shutil.copytree(folder, where))


def other_config(folder: Path) -> Manifest:
    (folder / "config.json").write_text('{"num_hidden_layers": 9}')
    return manifest_of(folder)


def other_tensors(folder: Path) -> Manifest:
    found = manifest_of(folder)
    return replace(found, tensors=(*found.tensors, replace(found.tensors[-1], name="model.layers.9.w")))


def other_shape(folder: Path) -> Manifest:
    found = manifest_of(folder)
    return replace(found, tensors=(replace(found.tensors[0], shape=(2, 4146)), *found.tensors[1:]))


def quantised(folder: Path) -> Manifest:
    return replace(manifest_of(folder), base=Base(ModelId(bytes(32)), WeightFormat.INT8))


@pytest.mark.parametrize("lie", [other_config, other_tensors, other_shape, quantised])
async def test_a_peer_that_claims_what_the_hub_denies_is_refused_and_not_asked_again(
    folder: Path, full: str, tmp_path: Path, lie: Callable[[Path], Manifest]
) -> None:
    manifest = manifest_of(folder)
    lying = copied(folder, tmp_path / "lie")
    liar, honest = telling(lying, full, manifest=lie(lying)), telling(folder, full)
    async with giving(liar, 1) as one, giving(honest, 2) as two:
        async with library(tmp_path, one) as used:
            with pytest.raises(NotDescribed, match="was not believed: a manifest is not that of hf:org/name"):
                await used.open(NAME, files=FILES)
        async with library(tmp_path, one, two) as used:
            await bring(used)
    assert len(liar.asked) == 1
    assert is_here(tmp_path, manifest, WANTED)


def with_flip(folder: Path, where: Path, tensor: str) -> Path:
    """A copy of a checkpoint with one bit turned in a tensor."""
    copy = copied(folder, where)
    shelf = FolderShelf.of(copy)
    place = shelf.places[next(one for one in shelf.known.tensors if one.name == tensor).chunks[1]]
    data = bytearray(place.path.read_bytes())
    data[place.offset + 7] ^= 1
    place.path.write_bytes(data)
    return copy


async def test_a_flipped_byte_in_a_peers_manifest_is_found_where_the_hub_delivers(
    folder: Path, full: str, tmp_path: Path
) -> None:
    liar = telling(with_flip(folder, tmp_path / "lie", WANTED[0]), full, gives=False)
    async with giving(liar, 1) as one, giving(telling(folder, full), 2) as two:
        async with library(tmp_path, one) as used:
            with pytest.raises(NotTheHubs, match=rf"other bytes for {WANTED[0]} than the hub has"):
                await bring(used)
        # The peer is not believed again; the hub is, and so are the others.
        async with library(tmp_path, one, two) as used:
            await bring(used)
    assert is_here(tmp_path, manifest_of(folder), WANTED)
    assert "hub" not in json.loads((tmp_path / "cache" / "distrusted.json").read_text())["sources"]


async def test_a_peer_that_also_gives_the_flipped_chunk_is_found_by_the_spot_check(
    folder: Path, full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = with_flip(folder, tmp_path / "lie", WANTED[0])
    changed = set(FolderShelf.of(lying).places) - set(FolderShelf.of(folder).places)
    monkeypatch.setattr("secrets.choice", lambda chunks: next(one for one in chunks if one.digest in changed))
    async with giving(telling(lying, full)) as liar, library(tmp_path, liar) as used:
        with pytest.raises(NotTheHubs):
            await bring(used)
    assert ChunkStore(tmp_path / "store").catalogue.called(full) is None


async def test_a_model_by_its_id_comes_from_peers_alone(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    name = str(manifest_of(folder).model_id)
    async with giving(telling(folder)) as peer, library(tmp_path, peer) as used:
        model = await bring(used, name)
        assert (model.name, str(model.model), model.title) == (name, name, model.model.short)
    assert is_here(tmp_path, manifest_of(folder), WANTED)
    assert hub.seen == []
    # Known from here on.
    async with library(tmp_path) as alone:
        await bring(alone, name)


async def test_a_model_that_no_peer_has_is_not_described(folder: Path, tmp_path: Path) -> None:
    name = str(ModelId(bytes(32)))
    async with giving(telling(folder)) as peer, library(tmp_path, peer) as used:
        with pytest.raises(NotDescribed, match="does not have what was asked for"):
            await used.open(name)
    async with library(tmp_path) as used:
        with pytest.raises(NotDescribed, match="no peer gave its manifest;"):
            await used.open(name)


async def test_chunks_that_nobody_has_are_counted_and_the_rest_stays(folder: Path, tmp_path: Path) -> None:
    shelf = telling(folder)
    lost = next(one for one in shelf.known.known.tensors if one.name == WANTED[1]).chunks[0]
    place = shelf.known.places.pop(lost)
    async with giving(shelf) as peer:
        async with library(tmp_path, peer) as used:
            with pytest.raises(NotFetched, match=rf"1 chunks .*{WANTED[1]}") as refused:
                await bring(used, str(shelf.known.known.model_id))
        assert refused.value.missing == 1
        assert len(ChunkStore(tmp_path / "store").sizes()) == 1 + 1 + 5
        shelf.known.places[lost] = place
        async with library(tmp_path, peer) as used:
            report = await (await used.open(str(shelf.known.known.model_id), files=FILES)).need(WANTED)
    assert report is not None
    assert report.kept_bytes == CHUNK


async def test_a_network_of_its_own_gives_nothing_to_others(folder: Path, tmp_path: Path) -> None:
    name = str(manifest_of(folder).model_id)
    async with giving(telling(folder), gate=SwarmGate(), network="club") as peer:
        async with library(tmp_path / "other", peer, network="main") as used:
            with pytest.raises(NotDescribed, match="does not let this host read"):
                await used.open(name)
        async with library(tmp_path / "member", peer, network="club") as used:
            await bring(used, name)


async def test_offline_nobody_is_asked_and_what_is_here_serves(
    hub: StandInHub, folder: Path, full: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with library(tmp_path, reads_all=True) as used:
        await bring(used)
    hub.seen.clear()
    shelf = telling(folder, full)
    async with giving(shelf) as peer, library(tmp_path, peer, offline=True, reads_all=True) as alone:
        for name in (NAME, full, str(manifest_of(folder).model_id)):
            model = await bring(alone, name)
        assert "offline, using commit" in caplog.text
        with pytest.raises(NotToFetch, match="told to fetch nothing; start once without --offline"):
            await model.need(["model.layers.7.w"])
        with pytest.raises(NotToFetch):
            await alone.open(NAME)
        with pytest.raises(HubOffline, match="nothing is kept here of hf:org/other; start once without"):
            await alone.open("hf:org/other")
        with pytest.raises(NotDescribed):
            await alone.open(str(ModelId(bytes(32))))
    assert (hub.seen, shelf.asked) == ([], [])


async def test_offline_a_hubs_model_without_a_manifest_is_not_read(
    hub: StandInHub, full: str, tmp_path: Path
) -> None:
    async with library(tmp_path) as used:
        with pytest.raises(NotDescribed):
            await used.open(NAME)
    hub.seen.clear()
    async with library(tmp_path, offline=True, reads_all=True) as alone:
        with pytest.raises(NotDescribed):
            await alone.open(NAME)
    assert hub.seen == []


async def test_a_hub_that_is_away_stops_nobody_who_has_everything(
    hub: StandInHub, full: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with library(tmp_path, reads_all=True) as used:
        await bring(used)
    hub.stop()
    async with library(tmp_path) as used:
        await bring(used)
    assert "offline, using commit" in caplog.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("no-such-model", UnknownModel),
        ("hf:just-a-name", BadHubName),
        ("hf:../../etc/passwd", BadHubName),
        ("hf:org/nothing", HubNotFound),
        ("b" + "a" * 58, UnknownModel),
    ],
)
async def test_what_is_no_model_is_told(
    hub: StandInHub, tmp_path: Path, name: str, kind: type[StoreError]
) -> None:
    async with library(tmp_path) as used:
        with pytest.raises(kind) as refused:
            await used.open(name)
    assert refused.value.next_step


async def test_what_is_in_use_stays_and_goes_when_the_library_is_closed(
    folder: Path, full: str, tmp_path: Path
) -> None:
    store = ChunkStore(tmp_path / "store")
    async with library(tmp_path, reads_all=True) as used:
        await bring(used)
        assert not store.prune(quota_bytes=0).digests
        assert store.in_use()
    assert not store.in_use()
    store.prune(quota_bytes=0)
    assert not store.sizes()


async def test_what_does_not_fit_is_refused_before_anything_is_fetched(
    hub: StandInHub, full: str, folder: Path, tmp_path: Path
) -> None:
    describe(tmp_path, manifest_of(folder), full)
    async with library(tmp_path, quota_bytes=6 * 4096) as used:
        model = await used.open(NAME, files=FILES)
        with pytest.raises(QuotaExceeded, match="raise --disk"):
            await model.need(WANTED)
    assert hub.asked("/blobs/") == []


async def test_the_store_may_be_a_link_to_another_disk(full: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    async with library(tmp_path, reads_all=True) as used:
        model = await bring(used)
        assert json.loads((model.folder / "config.json").read_text()) == {"num_hidden_layers": 2}
    assert (tmp_path / "disk" / "chunks").is_dir()
    assert is_here(tmp_path, manifest_of(folder), WANTED)
