"""A host that chooses has its choice kept like any other slice, and leaves it alone once people ask for something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from node.choosing import Choosing
from node.config import NodeConfig, SliceRequest
from node.controlling import Parts
from node.lifecycle.errors import LoadFailed
from node.lifecycle.keeper import Keeper
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from node.planning.gap import Choice
from scripts.make_model import write_tiny
from tests.fakes.deadline import until
from tests.fakes.kept_host import Host
from tests.fakes.serving import ME, MODEL, Table
from tests.fakes.slice_hands import HeldSlice
from wire.tensors import DType, WeightFormat

PLENTY = 64 << 30


class Model:
    """A model on this disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, MODEL


class Serving:
    """Finds one model."""

    def __init__(self, folder: Path) -> None:
        self._model = Model(folder)

    async def open(self, name: str) -> Model:
        return self._model

    async def facts(self, model: Model) -> None:
        """Nothing that is looked at."""

    def numerics(self, facts: None) -> tuple[DType, WeightFormat]:
        return DType.FLOAT32, WeightFormat.NATIVE


class Alone:
    """Neighbours of whom there are none."""

    async def look_for(self, model: object) -> None:
        """There is nobody to ask."""

    async def ask(self) -> Sequence[object]:
        return ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def choosing(keeper: Keeper[HeldSlice], folder: Path, *, memory: int = PLENTY) -> Choosing:
    table = Table()
    config = NodeConfig(slices=(SliceRequest("m", None),), auto=True, memory_bytes=memory)
    parts = Parts(
        me=ME,
        config=config,
        host=table.host,
        keeper=cast(Any, keeper),
        presence=cast(Any, None),
        budget=table.budget,
        traffic=cast(Any, None),
    )
    return Choosing(parts, serving=cast(Any, Serving(folder)), neighbours=cast(Any, Alone()))


def states(keeper: Keeper[HeldSlice]) -> list[State]:
    return [one.state for one in keeper.status()]


async def test_where_nothing_was_chosen_nothing_is_chosen_anew(host: Host, folder: Path) -> None:
    async with host.process() as keeper, asyncio.timeout(10):
        await choosing(keeper, folder).run(asyncio.Event())


async def test_what_is_chosen_is_served_and_forgotten_at_the_next_start(host: Host, folder: Path) -> None:
    async with host.process() as keeper:
        one = choosing(keeper, folder)
        await one.settle()
        assert states(keeper) == [State.SERVING]
        assert len(host.hands.announced()) == 1
        assert one._asked() is None
    async with host.process() as keeper:
        assert states(keeper) == []


async def test_a_choice_is_left_with_time_for_its_answers_and_another_one_is_taken(
    host: Host, folder: Path
) -> None:
    async with host.process() as keeper:
        one = choosing(keeper, folder)
        await one.settle()
        (first,) = keeper.status()
        choice = cast(Choice, one._auto.current)  # type: ignore[union-attr]  # it has settled
        held = host.hands.of(first.wish.key)
        held.sessions = 1
        leaving = asyncio.create_task(one._unload(choice))
        await host.served()
        assert not leaving.done() and held in host.hands.memory
        held.sessions = 0
        await leaving
        assert not host.hands.memory
        await one._load(choice)
        assert states(keeper) == [State.SERVING]


async def test_what_a_person_says_of_it_stays_said_and_ends_the_choosing(
    host: Host, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.process() as keeper:
        one = choosing(keeper, folder)
        await one.settle()
        await keeper.pause(None)
        assert one._asked() == "its slice was paused, drained or left"
        await keeper.resume(None)
        await keeper.drain(None, 0.0)
        assert one._asked() is not None
    async with host.process() as keeper:
        assert states(keeper) == [State.STOPPED]
        with caplog.at_level(logging.WARNING):
            await choosing(keeper, folder).settle()
        assert states(keeper) == [State.STOPPED]
        assert "ctl leave" in caplog.text


async def test_a_slice_that_a_person_joins_keeps_it_where_it_is(host: Host, folder: Path) -> None:
    async with host.process() as keeper:
        one = choosing(keeper, folder)
        await one.settle()
        async for _ in keeper.join(Wish(key=SliceKey("another", None))):
            pass
        assert one._asked() == "people asked for other slices"


async def test_a_choice_that_cannot_be_loaded_is_not_kept(host: Host, folder: Path) -> None:
    async with host.process() as keeper:
        host.hands.failing["load"] = LoadFailed("it is broken", "mend it")
        with pytest.raises(LoadFailed):
            await choosing(keeper, folder).settle()
        await until(lambda: states(keeper) in ([], [State.LEFT]))
