"""A host with nothing in its configuration waits to be told, keeps what it was told, or only relays for others."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.control.arguments import JoinArguments, NoArguments
from node.control.client import connected
from node.control.commands import HOSTING, JOIN, STATUS
from node.control.results import DaemonState, SliceState, Status
from node.control_text import lines
from tests.end_to_end.conftest import Reference
from tests.fakes import asking
from tests.fakes.hosts import Host, Place
from wire.types import LayerRange

NOTHING = NoArguments()
IDS = list(b"hello")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, as Unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        yield Path(folder)


@asynccontextmanager
async def host(
    home: Path, control: Path | None, *words: str, place: Place | None = None
) -> AsyncIterator[Host]:
    """A host that is ready, and ended."""
    usual = ["--listen", "127.0.0.1:0", "--identity", str(home / "identity"), "--threads", "1"]
    usual += ["--kv-memory", "64M", "--dtype", "float32", "--control", str(control or "off")]
    made = Host([*usual, *words], place)
    try:
        await asyncio.to_thread(made.wait_ready)
        yield made
    finally:
        await asyncio.to_thread(made.end)


async def status(socket: Path) -> Status:
    async with connected(socket) as client:
        return await client.call(STATUS, NOTHING)


async def test_a_host_with_nothing_to_serve_waits_to_be_told_and_keeps_it(
    tiny_model: Path, tmp_path: Path, short: Path, whole_model_tokens: Reference
) -> None:
    control = short / "control.sock"
    async with host(tmp_path, control) as made:
        waiting = await asyncio.to_thread(made.wait_for, "waiting")
        assert waiting["command"] == f"lamella-node ctl join MODEL --layers START:END --socket {control}"
        found = await status(control)
        assert (found.state, found.slices, found.relay) == (DaemonState.SERVING, (), None)
        assert found.why is not None and "lamella-node ctl join" in found.why
        async with connected(control) as client:
            await client.call(JOIN, JoinArguments(model=str(tiny_model), layers=LayerRange(1, 5)))
        assert (await status(control)).why is None
        made.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(made.wait) == 0
    async with host(tmp_path, control) as made:
        assert [one["event"] for one in made.said] == ["loading", "ready"]
        assert [(str(one.layers), one.state) for one in (await status(control)).slices] == [
            ("1:5", SliceState.SERVING)
        ]
        async with asking.client(
            tiny_model, [made.contact], tmp_path / "me", front_layers=1, dht=False
        ) as client:
            assert await asking.tokens(client.session, IDS, 8) == whole_model_tokens(tiny_model, IDS, 8)


async def test_a_host_that_only_relays_is_ready_and_says_what_it_carries(tmp_path: Path, short: Path) -> None:
    control = short / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(short / "notify"))
        manager.settimeout(20)
        place = Place(environment={"NOTIFY_SOCKET": str(short / "notify")})
        async with host(tmp_path, control, "--relay", place=place) as made:
            ready = next(one for one in made.said if one["event"] == "ready")
            assert (ready["relay"], ready["slices"]) == (True, [])
            told = b""
            while b"READY=1" not in told:
                told = await asyncio.to_thread(manager.recv, 4096)
            assert b"relays for peers that nobody can dial" in told
            found = await status(control)
            assert (found.state, found.why, found.slices) == (DaemonState.SERVING, None, ())
            assert "relay      carries 0 links for others, 0.0 MiB so far" in lines(found)
            made.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(made.wait) == 0
            assert "waiting" not in [one["event"] for one in made.said]


async def test_a_host_that_only_relays_needs_no_control_socket(tmp_path: Path) -> None:
    async with host(tmp_path, None, "--relay") as made:
        assert [one["event"] for one in made.said] == ["ready"]


async def test_a_host_that_chooses_its_layers_tells_of_them_and_keeps_what_it_was_told_to_hold_as_well(
    tiny_model: Path, tmp_path: Path, short: Path
) -> None:
    control = short / "control.sock"
    auto = ("--auto", "--model", str(tiny_model))
    async with host(tmp_path, control, *auto) as made:
        async with connected(control) as client:
            (chosen,) = (await client.call(STATUS, NOTHING)).slices
            assert (str(chosen.layers), chosen.detail) == ("0:5", "chosen by this host")
            await client.call(JOIN, JoinArguments(model=str(tiny_model), layers=LayerRange(1, 3)))
        made.send_signal(signal.SIGKILL)
        await asyncio.to_thread(made.wait)
    async with host(tmp_path, control, *auto), connected(control) as client:
        held = (await client.call(HOSTING, NOTHING)).slices
        assert {(str(one.layers), one.state, one.dtype) for one in held} == {
            ("0:5", SliceState.SERVING, "f32"),
            ("1:3", SliceState.SERVING, "f32"),
        }
