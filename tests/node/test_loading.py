from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from node.loading import MOST_MENDED, bring, load
from node.slices.compute import ComputeThread
from node.slices.errors import DamagedChunk, InvalidSlice, SliceError
from node.slices.load import load_slice
from node.slices.spec import SliceSpec
from node.store.chunks import ChunkStore
from node.store.errors import NotFetched
from node.stored_model import StoredModel
from scripts.make_model import write_tiny
from tests.fakes.giving import TellingShelf, giving, library, telling
from wire.types import LayerRange


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


@pytest.fixture
def shelf(folder: Path) -> TellingShelf:
    return telling(folder)


@pytest.fixture
async def model(shelf: TellingShelf, tmp_path: Path) -> AsyncIterator[StoredModel]:
    """A model whose config is here, of a store to which one peer gives."""
    async with giving(shelf) as peer, library(tmp_path, peer) as used:
        found = await used.open(str(shelf.known.known.model_id), files=["config.json"])
        assert isinstance(found, StoredModel)
        yield found


@pytest.fixture
async def compute() -> AsyncIterator[ComputeThread]:
    thread = ComputeThread(1)
    thread.start()
    yield thread
    await thread.stop()


def spec(model: StoredModel, layers: str, *, head: bool = False) -> SliceSpec:
    return SliceSpec(checkpoint=model.folder, layers=LayerRange.parse(layers), head=head, dtype="float32")


def names_here(model: StoredModel) -> set[str]:
    sizes = ChunkStore(model.lease.store.root).sizes()
    return {one.name for one in model.manifest.tensors if sizes.keys() >= set(one.chunks)}


async def test_exactly_the_tensors_of_the_slices_are_brought(
    model: StoredModel, compute: ComputeThread
) -> None:
    names = {one.name for one in model.manifest.tensors}
    told: list[tuple[int, int]] = []
    report = await bring(model, [spec(model, "1:3")], compute, progress=lambda *done: told.append(done))
    middle = {name for name in names if name.startswith(("model.layers.1.", "model.layers.2."))}
    assert names_here(model) == middle
    assert report is not None
    assert (
        report.kept_bytes
        == told[-1][0]
        == sum(one.size for one in model.manifest.tensors if one.name in middle)
    )
    assert await bring(model, [spec(model, "1:3")], compute) is None
    await bring(model, [spec(model, "1:2"), spec(model, "4:5", head=True)], compute)
    tail = {name for name in names if name.startswith(("model.layers.4.", "model.norm.", "lm_head."))}
    assert names_here(model) == middle | tail


async def test_layers_that_the_model_lacks_are_told_before_anything_is_fetched(
    model: StoredModel, compute: ComputeThread, shelf: TellingShelf
) -> None:
    shelf.given.clear()
    with pytest.raises(InvalidSlice, match="4:9"):
        await bring(model, [spec(model, "4:9")], compute)
    assert shelf.given == []


async def test_what_is_damaged_is_fetched_anew_while_loading_and_nothing_else_is(
    model: StoredModel, compute: ComputeThread, shelf: TellingShelf, caplog: pytest.LogCaptureFixture
) -> None:
    sliced = spec(model, "1:3")
    await bring(model, [sliced], compute)
    shelf.given.clear()
    broken = [one.chunks[0] for one in model.manifest.tensors if one.name in sorted(names_here(model))[::4]]
    for number, digest in enumerate(broken):
        path = model.lease.store.path(digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        if number == 0:
            path.unlink()
        else:
            path.write_bytes(data[:-1] if number == 1 else data)
    loaded = await load(model, compute, lambda: load_slice(sliced))
    assert loaded.spec.layers == LayerRange(1, 3)
    assert sorted(shelf.given) == sorted(broken)
    assert len(broken) > 3
    assert caplog.text.count("fetching it anew") == len(broken)
    assert model.lease.store.check() == []


async def test_what_cannot_be_fetched_anew_ends_the_loading(
    model: StoredModel, compute: ComputeThread, shelf: TellingShelf
) -> None:
    sliced = spec(model, "1:3")
    await bring(model, [sliced], compute)
    shelf.gives = False
    broken = next(one for one in model.manifest.tensors if one.name.startswith("model.layers.1.")).chunks[0]
    model.lease.store.path(broken).write_bytes(b"")
    with pytest.raises(NotFetched):
        await load(model, compute, lambda: load_slice(sliced))


async def test_a_disk_that_damages_everything_is_given_up(model: StoredModel, compute: ComputeThread) -> None:
    times = 0

    def work() -> NoReturn:
        nonlocal times
        times += 1
        raise DamagedChunk(Path("chunk"), bytes(32), "is wrong again")

    with pytest.raises(DamagedChunk, match="is wrong again"):
        await load(model, compute, work)
    assert times == MOST_MENDED + 1


async def test_other_errors_of_loading_are_passed_on(model: StoredModel, compute: ComputeThread) -> None:
    def work() -> NoReturn:
        raise InvalidSlice("not these layers")

    with pytest.raises(SliceError, match="not these layers"):
        await load(model, compute, work)
    assert await load(model, compute, lambda: 7) == 7
