from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from node.store.checkpoint import build_manifest
from node.store.hub import HubRepo
from node.store.hub_errors import HubBusy, HubChanged, HubError, HubGated, HubNotFound, HubWrongAnswer
from node.store.hub_source import HubSource
from node.store.patience import Patience
from node.store.source import Chunk, Source, SourceFailed
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.deadline import until
from tests.fakes.hub import Fault, StandInHub, cut, flip, headed, page, refuse, resized, stall
from tests.fakes.hub_machine import fresh_machine, no_nap, opened
from wire import limits
from wire.manifest import Manifest

KIB = 1024
CHUNK = 64 * KIB
"""Small chunks, so that a test has many."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    monkeypatch.setattr(limits, "CHUNK_BYTES", CHUNK)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dice = random.Random(7)
    shards = [
        {
            f"layer.{layer}.{part}": dice.randbytes(size)
            for layer in (shard, shard + 2)
            for part, size in sizes.items()
        }
        for shard, sizes in enumerate(
            [{"a": 200_000, "b": 10, "c": 300_001}, {"a": 65_536, "n": 3, "z": 131_072}]
        )
    ]
    folder = write_checkpoint(tmp_path / "model", *shards)
    (folder / "tokenizer.json").write_bytes(dice.randbytes(300_000))
    return folder


@pytest.fixture
async def repo(hub: StandInHub, folder: Path, tmp_path: Path) -> AsyncIterator[HubRepo]:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        yield repo


def chunks_of(manifest: Manifest) -> list[Chunk]:
    found = [Chunk(digest=one.digest, size=one.size, name=one.name, is_file=True) for one in manifest.files]
    for tensor in manifest.tensors:
        for index, digest in enumerate(tensor.chunks):
            offset = index * CHUNK
            found.append(
                Chunk(digest=digest, size=min(CHUNK, tensor.size - offset), name=tensor.name, offset=offset)
            )
    return found


async def fetch(source: Source, wanted: list[Chunk], most_bytes: int = 1 << 40) -> dict[Chunk, bytes]:
    """Ask until everything came and is what its digest says; give up after many failures."""
    left = list(wanted)
    came: dict[Chunk, bytes] = {}
    failures = 0
    while left:
        batch = source.batch(left, most_bytes)
        try:
            async for chunk, data in source.read(batch):
                assert len(data) == chunk.size
                assert chunk not in came
                if hashlib.sha256(data).digest() == chunk.digest:
                    came[chunk] = data
                else:
                    failures += 1
        except SourceFailed as error:
            failures += 1
            if error.retry_after_s is None or failures > 20:
                raise
        left = [one for one in left if one not in came]
    return came


async def ready(repo: HubRepo) -> HubSource:
    return HubSource(repo, await repo.layout())


@pytest.mark.parametrize("redirects", [True, False])
async def test_every_chunk_of_a_model_comes_as_its_digest_says(
    hub: StandInHub, repo: HubRepo, folder: Path, redirects: bool
) -> None:
    hub.redirects = redirects
    chunks = chunks_of(build_manifest(folder))
    source: Source = await ready(repo)
    assert all(source.holds(one) for one in chunks)
    assert source.label == f"hub {repo.name}"
    assert not source.is_peer
    assert source.streams > 1
    came = await fetch(source, chunks)
    assert set(came) == set(chunks)


async def test_tensors_side_by_side_come_in_one_request(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name.startswith("layer.2.")]
    random.Random(1).shuffle(wanted)
    before = len(hub.asked("/resolve/"))
    await fetch(source, wanted)
    assert len(hub.asked("/resolve/")) == before + 1
    size = sum(one.size for one in wanted)
    await until(lambda: hub.asked("", "storage")[-1].sent == size)


async def test_a_gap_is_read_along_and_dropped(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name in ("layer.0.a", "layer.0.c")]
    before = len(hub.asked("/resolve/"))
    await fetch(source, wanted)
    assert len(hub.asked("/resolve/")) == before + 1
    assert hub.asked("", "storage")[-1].sent == sum(one.size for one in wanted) + 10


async def test_a_batch_is_bounded_and_has_the_most_wanted(repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    left = chunks_of(build_manifest(folder))
    random.Random(2).shuffle(left)
    while left:
        batch = source.batch(left, 3 * CHUNK)
        assert left[0] in batch
        assert sum(one.size for one in batch) <= max(3 * CHUNK, left[0].size)
        left = [one for one in left if one not in batch]


async def test_chunks_come_as_soon_as_they_are_whole(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name == "layer.0.c"]
    hub.fault("", stall(2 * CHUNK + 100), server="storage")
    came = []
    async with asyncio.timeout(15), aclosing(source.read(source.batch(wanted, 1 << 40))) as found:
        async for chunk, _ in found:
            came.append(chunk)
            if len(came) == 2:
                break
    assert came == sorted(wanted, key=lambda one: one.offset)[:2]


@pytest.mark.parametrize(
    "fault",
    [
        refuse(429, Retry_After="1"),
        refuse(500),
        refuse(503),
        cut(0),
        cut(70_000),
        page,
        resized(-1),
        resized(1),
        flip(5),
    ],
)
async def test_what_passes_by_itself_is_asked_for_again(
    hub: StandInHub, repo: HubRepo, folder: Path, fault: Fault
) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if not one.is_file]
    hub.fault("", fault, server="storage", times=2)
    assert set(await fetch(source, wanted)) == set(wanted)


async def test_what_came_before_a_cut_is_not_asked_for_again(
    hub: StandInHub, repo: HubRepo, folder: Path
) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name == "layer.0.c"]
    hub.fault("", cut(3 * CHUNK + 100), server="storage")
    before = len(hub.asked("", "storage"))
    await fetch(source, wanted)
    first, second = (one.range or "" for one in hub.asked("", "storage")[before:])
    start = (await repo.layout())["layer.0.c"].start
    assert first == f"bytes={start}-{start + 300_000}"
    assert second == f"bytes={start + 3 * CHUNK}-{start + 300_000}"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (headed(X_Repo_Commit="f" * 40), HubChanged),
        (refuse(403, X_Error_Code="GatedRepo"), HubGated),
        (refuse(401, X_Error_Code="GatedRepo"), HubGated),
        (refuse(404, X_Error_Code="RevisionNotFound"), HubNotFound),
        (refuse(404, X_Error_Code="EntryNotFound"), HubNotFound),
        (refuse(416), HubChanged),
    ],
)
async def test_what_will_not_pass_is_told_as_such(
    hub: StandInHub, repo: HubRepo, folder: Path, fault: Fault, kind: type[HubError]
) -> None:
    source = await ready(repo)
    hub.fault("/resolve/", fault)
    with pytest.raises(kind) as caught:
        await fetch(source, chunks_of(build_manifest(folder))[-3:])
    assert caught.value.retry_after_s is None


async def test_waits_double_until_something_comes(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    source = HubSource(repo, await repo.layout(), patience=Patience(jitter=lambda: 1.0, sleep=no_nap))
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name == "layer.0.c"]
    hub.fault("/resolve/", refuse(500), times=3)
    hub.fault("/resolve/", refuse(429, Retry_After="20"))

    async def wait_s() -> float | None:
        with pytest.raises(HubBusy) as caught:
            await fetch_once(source, wanted)
        return caught.value.retry_after_s

    assert [await wait_s() for _ in range(4)] == [1.0, 2.0, 4.0, 20.0]
    await fetch_once(source, wanted)
    hub.fault("/resolve/", refuse(500))
    assert await wait_s() == 1.0


async def fetch_once(source: Source, wanted: list[Chunk]) -> None:
    async for _ in source.read(source.batch(wanted, 1 << 40)):
        pass


async def test_what_a_manifest_names_beyond_the_files_is_not_held(repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    good = next(one for one in chunks_of(build_manifest(folder)) if one.name == "layer.0.a")

    def other(**changes: object) -> Chunk:
        values: Mapping[str, object] = {"digest": good.digest, "size": 100, "name": "layer.0.a", "offset": 0}
        return Chunk(**{**values, **changes})  # type: ignore[arg-type]  # any of the fields

    assert source.holds(other())
    assert source.holds(other(offset=199_900))
    for chunk in (
        other(offset=199_901),
        other(offset=-1),
        other(size=0),
        other(size=-1),
        other(size=200_001),
        other(name="layer.9.a"),
        other(name="config.json"),
        other(name="config.json", is_file=True),
        other(name="../secret", is_file=True),
    ):
        assert not source.holds(chunk)
        with pytest.raises(HubNotFound):
            source.batch([chunk], 1)


async def test_an_empty_small_file_is_a_chunk_too(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    (folder / "merges.txt").write_bytes(b"")
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        chunk = Chunk(digest=hashlib.sha256(b"").digest(), size=0, name="merges.txt", is_file=True)
        source = HubSource(repo, {})
        assert await fetch(source, [chunk]) == {chunk: b""}


async def test_several_streams_at_once_bring_everything(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    source = await ready(repo)
    wanted = chunks_of(build_manifest(folder))
    batches = []
    left = list(wanted)
    while left:
        batches.append(source.batch(left, 2 * CHUNK))
        left = [one for one in left if one not in batches[-1]]
    came: dict[Chunk, bytes] = {}

    async def read(batch: list[Chunk]) -> None:
        came.update({chunk: data async for chunk, data in source.read(batch)})

    async with asyncio.TaskGroup() as group:
        for batch in batches:
            group.create_task(read(batch))
    assert set(came) == set(wanted)
    assert all(hashlib.sha256(data).digest() == chunk.digest for chunk, data in came.items())


async def test_a_batch_that_is_cancelled_is_read_by_the_next_one(
    hub: StandInHub, repo: HubRepo, folder: Path
) -> None:
    source = await ready(repo)
    wanted = [one for one in chunks_of(build_manifest(folder)) if one.name == "layer.0.c"]
    hub.fault("", stall(100), server="storage")
    task = asyncio.create_task(fetch_once(source, wanted))
    await until(lambda: hub.asked("", "storage")[-1].sent == 100)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(await fetch(source, wanted)) == set(wanted)


async def test_a_page_instead_of_bytes_names_what_stands_between(
    hub: StandInHub, repo: HubRepo, folder: Path
) -> None:
    source = await ready(repo)
    hub.fault("/resolve/", page)
    with pytest.raises(HubWrongAnswer, match="a proxy, a login page"):
        await fetch_once(source, chunks_of(build_manifest(folder))[-1:])
