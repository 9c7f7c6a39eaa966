"""Slices come, go and are refused as the keeper of their lives says, and a load that is given up leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.config import NodeConfig
from node.errors import NodeError
from node.holding import CannotLoad, Holding
from node.lifecycle.wishes import SliceKey, Wish
from node.sharing import Sharing
from scripts.make_model import write_tiny
from tests.node.test_serving import Bench
from wire.codes import Code
from wire.types import Address, LayerRange


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


class Held:
    """Hands, and what they work on."""

    def __init__(self, bench: Bench) -> None:
        config = NodeConfig(slices=(), listen=(Address("127.0.0.1", 0),), shares=False)
        self.bench = bench
        self.host = bench.host
        self.hands = Holding(
            serving=bench.serving,
            host=bench.host,
            sharing=Sharing(bench.host._self.peer_id, config),
            compute=bench.compute,
        )


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    bench = Bench(tmp_path)
    bench.compute.start()
    yield Held(bench)
    await bench.compute.stop()


def wish(folder: Path, layers: LayerRange | None) -> Wish:
    return Wish(key=SliceKey(str(folder), layers))


async def test_a_slice_is_loaded_offered_refused_and_unloaded(held: Held, folder: Path) -> None:
    fractions: list[float] = []
    one = await held.hands.load(wish(folder, LayerRange(0, 2)), fractions.append)
    assert fractions and fractions == sorted(fractions)
    assert held.host.hosting().offers == ()
    held.hands.offer(one)
    held.hands.offer(one)
    assert [str(offer.layers) for offer in held.host.hosting().offers] == ["0:2"]
    held.hands.withdraw(one, Code.DRAINING)
    assert held.host.hosting().offers == ()
    refusal = held.host.admission.of_slice(one)
    assert refusal is not None and refusal.code is Code.DRAINING
    assert held.hands.sessions(one) == 0
    assert await held.hands.abort(one, Code.DRAINING) == 0
    await held.hands.unload(one)
    await held.hands.unload(one)
    assert held.host.slices == ()


async def test_what_cannot_be_loaded_is_told_with_the_next_step(held: Held, folder: Path) -> None:
    with pytest.raises(CannotLoad, match="3:9"):
        await held.hands.load(wish(folder, LayerRange(3, 9)), lambda _: None)
    with pytest.raises(NodeError, match="nowhere"):
        await held.hands.load(wish(folder / "nowhere", None), lambda _: None)


async def test_a_load_that_is_given_up_has_ended_on_its_thread(held: Held, folder: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    told: list[float] = []

    def progress(fraction: float) -> None:
        told.append(fraction)
        begun.set()
        go_on.wait(10)

    loading = asyncio.create_task(held.hands.load(wish(folder, None), progress))
    await asyncio.to_thread(begun.wait, 20)
    loading.cancel()
    await asyncio.sleep(0)
    assert not loading.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert len(told) == 1
    assert held.host.slices == ()
    free: Any = await held.bench.compute.run(lambda: "free")
    assert free == "free"
