"""A real host is told over its control socket what to hold: hot, one slice beside the other, and kept over a kill."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chat.errors import ChatError
from chat.events import Finished, TextDelta
from node.control.arguments import (
    DrainArguments,
    JoinArguments,
    NoArguments,
    SliceArguments,
    StopArguments,
)
from node.control.client import ControlClient, connected
from node.control.commands import (
    DRAIN,
    HOSTING,
    JOIN,
    LEAVE,
    PAUSE,
    PEERS,
    RESUME,
    SESSIONS,
    STATUS,
    STOP,
    UNDRAIN,
)
from node.control.errors import ControlError
from node.control.results import DaemonState, DrainProgress, JoinProgress, SliceState
from tests.end_to_end.conftest import Reference
from tests.fakes import asking, hosts
from tests.fakes.deadline import until
from tests.fakes.hosts import Host, HostOptions
from wire.types import LayerRange

NOTHING = NoArguments()
IDS = list(b"hello")


@pytest.fixture
def socket() -> Iterator[Path]:
    """A place with a short path, as Unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        yield Path(folder) / "control.sock"


@asynccontextmanager
async def host(model: Path, home: Path, socket: Path, layers: str = "1:3") -> AsyncIterator[Host]:
    """A host that is ready, and ended."""
    made = hosts.start(home / "identity", model, layers, HostOptions(control=socket))
    try:
        await asyncio.to_thread(made.wait_ready)
        yield made
    finally:
        await asyncio.to_thread(made.end)


async def tokens(model: Path, host: Host, home: Path, count: int = 8) -> list[int]:
    """What a client of its own is answered."""
    async with asking.client(model, [host.contact], home / "me", front_layers=1, dht=False) as client:
        return await asking.tokens(client.session, IDS, count)


async def slices(client: ControlClient) -> dict[str, SliceState]:
    """What each range of layers does."""
    status = await client.call(STATUS, NOTHING)
    return {str(one.layers): one.state for one in status.slices}


async def test_slices_are_joined_drained_and_left_while_others_serve(
    tiny_model: Path, tmp_path: Path, socket: Path, whole_model_tokens: Reference
) -> None:
    async with host(tiny_model, tmp_path / "home", socket) as made, connected(socket) as client:
        status = await client.call(STATUS, NOTHING)
        assert (status.state, status.peer_id, status.pid) == (
            DaemonState.SERVING,
            str(made.peer_id),
            made.pid,
        )
        with pytest.raises(ChatError, match="3:5"):
            await tokens(tiny_model, made, tmp_path)

        progress: list[JoinProgress] = []

        async def told(one: JoinProgress) -> None:
            progress.append(one)

        joined = await client.call(
            JOIN, JoinArguments(model=str(tiny_model), layers=LayerRange(3, 5)), told=told
        )
        assert joined.slice.state is SliceState.SERVING
        assert progress
        expected = whole_model_tokens(tiny_model, IDS, 8)
        assert await tokens(tiny_model, made, tmp_path) == expected

        name = joined.slice.name
        drained = await client.call(DRAIN, DrainArguments(slice=name, grace_s=5.0))
        assert (drained.slices, drained.cut_off) == ((name,), 0)
        assert await slices(client) == {"1:3": SliceState.SERVING, "3:5": SliceState.STOPPED}
        with pytest.raises(ChatError, match="3:5"):
            await tokens(tiny_model, made, tmp_path)
        await client.call(UNDRAIN, SliceArguments(slice=name))
        assert await tokens(tiny_model, made, tmp_path) == expected

        await client.call(LEAVE, DrainArguments(slice=name, grace_s=0.0))
        assert await slices(client) == {"1:3": SliceState.SERVING}
        with pytest.raises(ControlError, match="there is no slice"):
            await client.call(DRAIN, DrainArguments(slice=name))


async def test_what_was_acknowledged_holds_after_a_kill(
    tiny_model: Path, tmp_path: Path, socket: Path
) -> None:
    home = tmp_path / "home"
    async with host(tiny_model, home, socket) as made:
        async with connected(socket) as client:
            await client.call(JOIN, JoinArguments(model=str(tiny_model), layers=LayerRange(3, 5)))
            await client.call(JOIN, JoinArguments(model=str(tiny_model), layers=LayerRange(1, 5)))
            (joined,) = [
                one.name for one in (await client.call(HOSTING, NOTHING)).slices if str(one.layers) == "1:5"
            ]
            await client.call(DRAIN, DrainArguments(slice=joined, grace_s=0.0))
        made.send_signal(signal.SIGKILL)
        await asyncio.to_thread(made.process.join)
    async with host(tiny_model, home, socket) as made, connected(socket) as client:
        assert await slices(client) == {
            "1:3": SliceState.SERVING,
            "3:5": SliceState.SERVING,
            "1:5": SliceState.STOPPED,
        }


async def test_a_drain_lets_an_answer_end_and_refuses_new_ones(
    tiny_model: Path, tmp_path: Path, socket: Path, whole_model_tokens: Reference
) -> None:
    async with (
        host(tiny_model, tmp_path / "home", socket, "1:5") as made,
        connected(socket) as control,
        asking.client(tiny_model, [made.contact], tmp_path / "me", front_layers=1, dht=False) as client,
    ):
        events = client.session.answer(IDS, asking.NoText(), asking.answer_options(300))
        drawn: list[int] = []
        while not drawn:
            event = await anext(events)
            drawn += event.token_ids if isinstance(event, TextDelta) else []
        (session,) = (await control.call(SESSIONS, NOTHING)).sessions
        assert session.active and session.tokens > 0
        assert [(one.sessions, one.dialled) for one in (await control.call(PEERS, NOTHING)).peers] == [
            (1, False)
        ]
        states: list[DrainProgress] = []

        async def told(one: DrainProgress) -> None:
            states.append(one)

        draining = asyncio.create_task(control.call(DRAIN, DrainArguments(grace_s=60.0), told=told))
        await until(lambda: states)
        with pytest.raises(ChatError):
            await tokens(tiny_model, made, tmp_path / "other")
        async for event in events:
            drawn += event.token_ids if isinstance(event, TextDelta) else []
        assert isinstance(event, Finished)
        assert drawn == whole_model_tokens(tiny_model, IDS, 300)
        drained = await draining
        assert drained.cut_off == 0
        assert any(one.state is SliceState.DRAINING for one in states)


async def test_a_pause_takes_no_new_sessions_and_a_stop_ends_the_host(
    tiny_model: Path, tmp_path: Path, socket: Path
) -> None:
    async with host(tiny_model, tmp_path / "home", socket, "1:5") as made:
        async with connected(socket) as client:
            assert (await client.call(PAUSE, NOTHING)).state is DaemonState.PAUSED
            with pytest.raises(ChatError):
                await tokens(tiny_model, made, tmp_path)
            assert (await client.call(RESUME, NOTHING)).state is DaemonState.SERVING
            assert len(await tokens(tiny_model, made, tmp_path)) == 8
            stopping = await client.call(STOP, StopArguments(grace_s=1.0))
            assert stopping.grace_s == 1.0
        assert await asyncio.to_thread(made.wait) == 0
        assert not await asyncio.to_thread(socket.exists)


async def test_a_second_host_leaves_the_first_one_its_socket(
    tiny_model: Path, tmp_path: Path, socket: Path
) -> None:
    async with host(tiny_model, tmp_path / "home", socket), connected(socket) as client:
        second = hosts.start(tmp_path / "other", tiny_model, "1:3", HostOptions(control=socket))
        assert await asyncio.to_thread(second.wait, 60) == 1
        assert "control socket" in second.said[-1]["message"] or "runs" in second.said[-1]["message"]
        assert (await client.call(STATUS, NOTHING)).state is DaemonState.SERVING
