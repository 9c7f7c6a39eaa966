"""Slices are loaded while others serve, offered when they are ready, and let go without harm to the rest."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crypto.identity import Identity
from node.config import NodeConfig, SliceRequest
from node.forward import SessionHost
from node.model_library import Library, LibraryTerms, Neighbour
from node.serving import Interrupted, Serving
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.status import StatusLine
from node.store.errors import UnknownModel
from scripts.make_model import write_tiny
from wire.codes import Code
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


class Bench:
    """Everything that serving needs, of one process."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.compute = ComputeThread(1)
        self.host = SessionHost(
            me=Identity.from_seed(bytes(32)).peer_id, compute=self.compute, budget=KVBudget(1 << 20)
        )
        self.stop = asyncio.Event()
        self.said = io.StringIO()
        config = NodeConfig(slices=(), listen=(Address("127.0.0.1", 0),), grace_s=0.1, **changes)

        async def nobody(_model: ModelId | None) -> list[Neighbour]:
            return []

        self.serving = Serving(
            config,
            host=self.host,
            library=Library(LibraryTerms(root=root / "store", cache_dir=root / "cache"), neighbours=nobody),
            compute=self.compute,
            status=StatusLine(as_json=True, out=self.said),
            stop=self.stop,
        )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    made.compute.start()
    yield made
    await made.compute.stop()


async def test_a_slice_is_offered_once_it_is_loaded_and_not_after_it_was_let_go(
    bench: Bench, folder: Path
) -> None:
    serving = bench.serving
    model = await serving.open(str(folder))
    first = await serving.load(model, SliceRequest(str(folder), LayerRange(0, 2)))
    assert bench.host.hosting().offers == ()
    serving.offer(first)
    second = await serving.load(model, SliceRequest(str(folder), None))
    serving.offer(second)
    assert [str(one.layers) for one in bench.host.hosting().offers] == ["0:2", "0:5"]
    assert second.model == model.model
    assert second.slice.spec.head
    serving.withdraw(first, Code.DRAINING)
    assert [str(one.layers) for one in bench.host.hosting().offers] == ["0:5"]
    await serving.unload(first)
    assert [str(one.layers) for one in bench.host.hosting().offers] == ["0:5"]
    assert not bench.host.admission.closed
    assert '"layers": "0:2"' in bench.said.getvalue()


async def test_numerics_are_those_of_the_model_unless_asked_otherwise(folder: Path, tmp_path: Path) -> None:
    for changes, expected in (
        ({}, (DType.FLOAT32, WeightFormat.NATIVE)),
        ({"dtype": "bfloat16"}, (DType.BFLOAT16, WeightFormat.NATIVE)),
        ({"weights": WeightFormat.INT8}, (DType.BFLOAT16, WeightFormat.INT8)),
    ):
        bench = Bench(tmp_path, **changes)
        bench.compute.start()
        model = await bench.serving.open(str(folder))
        assert bench.serving.numerics(await bench.serving.facts(model)) == expected
        await bench.compute.stop()


async def test_a_stop_ends_what_is_under_way(bench: Bench, folder: Path) -> None:
    model = await bench.serving.open(str(folder))
    bench.stop.set()
    with pytest.raises(Interrupted):
        await bench.serving.load(model, SliceRequest(str(folder), None))
    with pytest.raises(Interrupted):
        await bench.serving.open(str(folder))


async def test_what_cannot_be_served_is_said(bench: Bench, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        await bench.serving.open(str(tmp_path / "nowhere"))
    model = await bench.serving.open(str(folder))
    with pytest.raises(SliceError, match="3:9"):
        await bench.serving.load(model, SliceRequest(str(folder), LayerRange(3, 9)))
    assert bench.host.hosting().offers == ()
