from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crypto.identity import Identity
from node.config import NodeConfig
from node.manners.pacing import BURST_S, QUANTUM_S, Pacer
from node.model_library import Neighbour, NotDescribed
from node.sharing import Sharing
from node.store import checkpoint
from node.store.pace import Pace
from node.store.peer_source import Asker, PeerSource, client_session
from node.store.share import CannotListen
from node.store.source import SourceFailed
from node.stored_model import LocalModel, Model
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.deadline import until
from tests.fakes.giving import giving, library, telling
from wire.manifest import Manifest
from wire.types import Address

ME = Identity.from_seed(bytes([9]) * 32).peer_id
LOCAL = Address("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model", {"a": random.Random(1).randbytes(200_000), "b": b"123"})


@asynccontextmanager
async def sharing(pace: Pace | None = None, **config: Any) -> AsyncIterator[tuple[Sharing, Neighbour]]:
    """A host's sharing, and how peers know it."""
    shares = Sharing(ME, NodeConfig(slices=(), listen=(LOCAL,), **config), pace=pace)
    port = await shares.start(LOCAL)
    assert port is not None
    try:
        yield shares, Neighbour(ME, Address("127.0.0.1", port))
    finally:
        await shares.close()


async def local(folder: Path, tmp_path: Path) -> LocalModel:
    return await LocalModel.read(folder, cache_dir=tmp_path / "ids")


async def fetched(home: Path, peer: Neighbour, name: str, network: str = "main") -> bool:
    """Whether a model can be had from a peer; waits until it offers it."""
    async with library(home, peer, network=network) as used:
        async with asyncio.timeout(20):
            while True:
                try:
                    model = await used.open(name)
                    break
                except NotDescribed:
                    await asyncio.sleep(0.01)
        return await model.need(["a", "b"]) is not None


async def test_a_folder_is_given_to_peers_where_it_lies(folder: Path, tmp_path: Path) -> None:
    async with sharing() as (shares, peer):
        model = await local(folder, tmp_path)
        shares.offer(model)
        shares.offer(model)
        assert await fetched(tmp_path / "other", peer, str(model.model))


async def test_what_was_fetched_is_given_on_as_soon_as_it_is_offered(folder: Path, tmp_path: Path) -> None:
    name = str((await local(folder, tmp_path)).model)
    async with giving(telling(folder)) as first, library(tmp_path / "one", first) as used:
        model: Model = await used.open(name)
        await model.need(["a", "b"])
        async with sharing() as (shares, peer):
            shares.offer(model)
            shares.offer(model)
            assert await fetched(tmp_path / "two", peer, name)


async def test_a_network_of_its_own_gives_to_those_who_know_its_name(folder: Path, tmp_path: Path) -> None:
    async with sharing(network="club") as (shares, peer):
        model = await local(folder, tmp_path)
        shares.offer(model)
        assert await fetched(tmp_path / "member", peer, str(model.model), "club")
        async with client_session() as session:
            with pytest.raises(SourceFailed, match="does not let this host read"):
                await PeerSource(session, peer.address, peer.peer).manifest(model.model)
        async with library(tmp_path / "stranger", peer, network="main") as used:
            with pytest.raises(NotDescribed, match="does not let this host read"):
                await used.open(str(model.model))


async def test_a_clock_that_jumped_is_named_as_what_may_be_wrong(folder: Path, tmp_path: Path) -> None:
    asker = Asker(identity=Identity.from_seed(bytes([3]) * 32), now=lambda: time.time() + 3600)
    async with sharing() as (shares, peer), client_session() as session:
        model = await local(folder, tmp_path)
        shares.offer(model)
        with pytest.raises(SourceFailed, match="one of both clocks is wrong"):
            await PeerSource(session, peer.address, peer.peer, asker=asker).manifest(model.model)


async def test_who_shares_nothing_listens_nowhere(folder: Path, tmp_path: Path) -> None:
    shares = Sharing(ME, NodeConfig(slices=(), listen=(LOCAL,), shares=False))
    assert await shares.start(LOCAL) is None
    shares.offer(await local(folder, tmp_path))
    await shares.close()
    assert not (tmp_path / "xdg").exists()


async def test_a_place_to_share_can_be_chosen_and_a_taken_one_is_told() -> None:
    async with sharing() as (_, peer):
        other = Sharing(ME, NodeConfig(slices=(), listen=(LOCAL,), share=peer.address))
        with pytest.raises(CannotListen, match=str(peer.address)):
            await other.start(LOCAL)
        await other.close()


def size_of(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.glob("*.safetensors"))


async def test_the_upload_cap_holds(folder: Path, tmp_path: Path) -> None:
    rate = 200_000
    size = size_of(folder)
    async with sharing(Pacer(upload_bytes_per_s=rate)) as (shares, peer):
        model = await local(folder, tmp_path)
        shares.offer(model)
        began = asyncio.get_running_loop().time()
        assert await fetched(tmp_path / "other", peer, str(model.model))
    # A burst and a turn pass at once; a slower machine takes longer, and none is quicker.
    at_once = rate * (BURST_S + QUANTUM_S)
    assert asyncio.get_running_loop().time() - began > (size - at_once) / rate > 0.2


async def test_a_folder_that_cannot_be_described_is_only_not_given(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with sharing() as (shares, _):
        model = await local(folder, tmp_path)
        (folder / "model.safetensors").write_bytes(b"")
        shares.offer(model)
        await until(lambda: "model is not given to peers: " in caplog.text)


async def test_closing_ends_the_reading_of_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_folder: Path, *, cache_dir: Path, progress: Callable[[float], None]) -> Manifest:
        try:
            while True:
                begun.set()
                progress(0.5)
        finally:
            ended.set()

    async with sharing() as (shares, _):
        model = await local(folder, tmp_path)
        monkeypatch.setattr(checkpoint, "manifest_of", endless)
        shares.offer(model)
        await until(begun.is_set)
    await until(ended.is_set)
