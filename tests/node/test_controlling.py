"""What commands do is told as it is; a name that nobody holds is an error that lists those there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from node.config import NodeConfig
from node.control.arguments import DrainArguments, JoinArguments, NoArguments, SliceArguments, StopArguments
from node.control.results import DaemonState, DrainProgress, Rates, Relaying, SliceState
from node.controlling import Controlling, Parts
from node.hosting import HostedSlice
from node.lifecycle.errors import LoadFailed, NotHeld
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.lifecycle.wishes import SliceKey, Wish
from node.presence import Presence
from node.sight.ring import Ring
from node.transport.pool import Moved
from tests.fakes.deadline import until
from tests.fakes.serving import ME, Table
from tests.node.test_traffic import traffic_of
from wire.codes import Code
from wire.types import Address, LayerRange

NOTHING = NoArguments()


class Hands:
    """Loads slices that are there already; `m` is the model that works."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.endless = False
        """Whether there is an answer that does not end."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.known = {str(one.layers): one for one in table.host.slices}
        table.host.slices = ()

    async def load(self, wish: Wish, progress: Callable[[float], None]) -> HostedSlice:
        await self.gate.wait()
        progress(0.5)
        if wish.key.model != "m":
            raise LoadFailed("there is no such model", "name another")
        return self.known[str(wish.key.layers)]

    async def unload(self, handle: HostedSlice) -> None:
        self.table.host.slices = tuple(one for one in self.table.host.slices if one is not handle)

    def offer(self, handle: HostedSlice) -> None:
        self.table.host.admission.admit(handle)
        if handle not in self.table.host.slices:
            self.table.host.slices = (*self.table.host.slices, handle)

    def withdraw(self, handle: HostedSlice, code: Code) -> None:
        self.table.host.admission.refuse(handle, code)

    def sessions(self, handle: HostedSlice) -> int:
        return self.table.host.active_of(handle) + self.endless

    async def abort(self, handle: HostedSlice, code: Code) -> int:
        return await self.table.host.end(handle, code)


class Reaching:
    circuits, carried_bytes = 2, 3000

    def sentence(self) -> str:
        return "nobody knows"


class Present:
    """A presence without a network."""

    addresses = (Address("127.0.0.1", 1),)
    nodes = 3
    reaching = Reaching()

    def __init__(self) -> None:
        self.pool = self
        self.moved = Moved(11, 12)
        self.links: dict[Any, Any] = {}


@dataclass
class Bench:
    commands: Controlling
    hands: Hands
    keeper: Keeper[HostedSlice]
    stop: asyncio.Event

    async def do(self, name: str, arguments: Any = None) -> Any:
        """The result of a command; what it tells meanwhile is in `told`."""
        handler: Any = cast("dict[str, Any]", self.commands.handlers())[name]
        if arguments is None:
            arguments = DrainArguments() if name in ("drain", "leave") else NOTHING
        return await handler(arguments, self._tell)

    async def _tell(self, record: Any) -> None:
        self.told.append(record)

    def __post_init__(self) -> None:
        self.told: list[Any] = []


def made(tmp_path: Path, **told: Any) -> Bench:
    table = Table()
    hands = Hands(table)
    stop = asyncio.Event()
    keeper: Keeper[HostedSlice] = Keeper(hands, IntentFile(tmp_path / "intents.json"))
    parts = Parts(
        me=ME,
        config=NodeConfig(**told),
        host=table.host,
        keeper=keeper,
        presence=cast(Presence, Present()),
        budget=table.budget,
        traffic=traffic_of(tmp_path),
    )
    return Bench(Controlling(parts, stop, Ring()), hands, keeper, stop)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = made(tmp_path)
    async with bench.keeper:
        await bench.keeper.recover([])
        yield bench


def m(start: int, end: int) -> JoinArguments:
    return JoinArguments(model="m", layers=LayerRange(start, end))


async def test_a_slice_is_joined_with_progress_and_seen_everywhere(bench: Bench) -> None:
    assert (await bench.do("status")).state is DaemonState.STARTING
    assert (await bench.do("status")).rates == Rates()
    bench.commands.is_ready = True
    joined = await bench.do("join", m(0, 2))
    assert (joined.slice.name, joined.slice.state) == ("m@0:2", SliceState.SERVING)
    assert {one.slice for one in bench.told} == {"m@0:2"}
    status = await bench.do("status")
    assert (status.state, status.dht_nodes, status.reachability) == (DaemonState.SERVING, 3, "nobody knows")
    assert [one.name for one in status.slices] == ["m@0:2"]
    (facts,) = (await bench.do("hosting")).slices
    assert (facts.name, facts.state, facts.dtype) == ("m@0:2", SliceState.SERVING, "f32")
    assert (await bench.do("peers")).peers == ()
    assert (await bench.do("sessions")).sessions == ()


async def test_a_drain_ends_stopped_and_an_undrain_serving(bench: Bench) -> None:
    bench.commands.is_ready = True
    await bench.do("join", m(0, 2))
    drained = await bench.do("drain", DrainArguments(slice="m@0:2", grace_s=1.0))
    assert (drained.slices, drained.finished, drained.cut_off) == (("m@0:2",), 0, 0)
    assert [one.state for one in (await bench.do("status")).slices] == [SliceState.STOPPED]
    changed = await bench.do("undrain", SliceArguments())
    assert [one.state for one in changed.slices] == [SliceState.SERVING]


async def test_leaving_forgets_and_a_name_that_nobody_holds_lists_those_there_are(bench: Bench) -> None:
    await bench.do("join", m(0, 2))
    await bench.do("join", m(2, 4))
    await bench.do("leave", DrainArguments(slice="m@0:2", grace_s=0.0))
    with pytest.raises(NotHeld, match="m@2:4"):
        await bench.do("leave", DrainArguments(slice="m@0:2"))
    assert [one.name for one in (await bench.do("status")).slices] == ["m@2:4"]


async def test_a_pause_is_told_with_who_paused(bench: Bench) -> None:
    bench.commands.is_ready = True
    await bench.do("join", m(0, 2))
    assert (await bench.do("pause")).state is DaemonState.PAUSED
    status = await bench.do("status")
    assert (status.why, status.slices[0].detail) == ("paused by hand", "paused")
    assert (await bench.do("resume")).state is DaemonState.SERVING


async def test_what_cannot_be_loaded_is_told_and_kept_as_failed(bench: Bench) -> None:
    with pytest.raises(LoadFailed, match="no such model"):
        await bench.do("join", JoinArguments(model="other"))
    (line,) = (await bench.do("status")).slices
    assert (line.state, line.detail) == (SliceState.FAILED, "there is no such model; name another")


async def test_a_join_that_is_given_up_is_left(bench: Bench) -> None:
    bench.hands.gate.clear()
    joining = asyncio.create_task(bench.do("join", m(0, 2)))
    async with asyncio.timeout(10):
        while not bench.keeper.status():  # noqa: ASYNC110 - the keeper has no event for a first slice
            await asyncio.sleep(0)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    async with asyncio.timeout(10):
        while bench.keeper.status():  # noqa: ASYNC110 - nor for a last one
            await asyncio.sleep(0)


async def test_a_drain_that_names_no_grace_has_the_configured_one(bench: Bench) -> None:
    await bench.do("join", m(0, 2))
    bench.commands.drain_grace_s = 77.0
    bench.hands.endless = True
    draining = asyncio.create_task(bench.do("drain"))
    await until(lambda: any(isinstance(one, DrainProgress) for one in bench.told))
    (left_s,) = {one.left_s for one in bench.told if isinstance(one, DrainProgress)}
    assert 60 < left_s <= 77
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining


async def test_a_command_that_comes_early_waits_until_it_is_known_what_was_asked(tmp_path: Path) -> None:
    early = made(tmp_path)
    async with early.keeper:
        joining = asyncio.create_task(early.do("join", m(0, 2)))
        assert (await early.do("status")).slices == ()
        assert not joining.done()
        await early.keeper.recover([])
        assert (await joining).slice.state is SliceState.SERVING


async def test_a_host_without_slices_says_what_to_do_and_one_that_relays_what_it_carries(
    bench: Bench, tmp_path: Path
) -> None:
    assert (await bench.do("status")).why is None
    bench.commands.is_ready = True
    status = await bench.do("status")
    assert (status.state, status.relay) == (DaemonState.SERVING, None)
    assert status.why == "it holds no slice; join one with `lamella-node ctl join MODEL`"
    relay = made(tmp_path, relay=True)
    relay.commands.is_ready = True
    status = await relay.do("status")
    assert (status.why, status.relay) == (None, Relaying(circuits=2, carried_bytes=3000))


async def test_slices_that_the_host_chose_itself_are_told_as_such(bench: Bench) -> None:
    wish = Wish(key=SliceKey("m", LayerRange(0, 2)))
    async for _ in bench.keeper.join(wish, chosen=True):
        pass
    await bench.do("join", m(2, 4))
    status = await bench.do("status")
    assert [(one.name, one.detail) for one in status.slices] == [
        ("m@0:2", "chosen by this host"),
        ("m@2:4", None),
    ]
    await bench.do("drain", DrainArguments(slice="m@0:2", grace_s=0.0))
    facts = {one.name: one for one in (await bench.do("hosting")).slices}
    assert facts["m@0:2"].state is SliceState.STOPPED


async def test_a_slice_is_told_by_the_name_it_was_asked_for_by(bench: Bench) -> None:
    bench.hands.known["None"] = bench.hands.known["2:4"]
    await bench.do("join", JoinArguments(model="m"))
    (facts,) = (await bench.do("hosting")).slices
    assert (facts.name, facts.layers, facts.head) == ("m@all", LayerRange(2, 4), True)
    await bench.hands.table.open_tail()
    (session,) = (await bench.do("sessions")).sessions
    assert session.slice == "m@all"
    await bench.hands.table.host.finish(0.0)


async def test_a_stop_is_acknowledged_with_its_grace(bench: Bench) -> None:
    stopping = await bench.do("stop", StopArguments(grace_s=7.0))
    assert (stopping.grace_s, bench.stop.is_set()) == (7.0, True)
    assert bench.commands.stop_grace_s == 7.0
    assert (await bench.do("status")).state is DaemonState.STOPPING
