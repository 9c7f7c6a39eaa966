from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chat.own_host import OwnHost, Seen
from node.control.arguments import DrainArguments, NoArguments
from node.control.commands import DRAIN, PAUSE
from node.control.errors import ConnectionEnded, NoHostRuns, Refused
from node.control.results import Changed, DaemonState, DrainProgress
from node.control.server import ControlServer
from node.errors import NodeError
from tests.fakes.control import short_folder
from tests.fakes.deadline import until
from tests.fakes.talking_host import FIRST, TalkingHost


@asynccontextmanager
async def watched(host: OwnHost) -> AsyncIterator[list[Seen | NodeError]]:
    """What is seen, as it is."""
    found: list[Seen | NodeError] = []
    task = asyncio.create_task(host.watch(found.append))
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_the_host_is_seen_with_whom_it_serves() -> None:
    with short_folder() as folder:
        server = ControlServer(folder / "c.sock", TalkingHost(sessions=2).handlers())
        await server.start()
        async with watched(OwnHost(server.path, every_s=0.01)) as found:
            await until(lambda: len(found) > 2)
        await server.close()
    first = found[0]
    assert isinstance(first, Seen)
    assert (first.status.sessions, [one.client for one in first.sessions]) == (2, ["client0", "client1"])


async def test_a_host_that_comes_goes_and_comes_again_is_seen_each_time() -> None:
    with short_folder() as folder:
        path = folder / "c.sock"
        async with watched(OwnHost(path, every_s=0.01)) as found:
            await until(lambda: found)
            assert isinstance(found[0], NoHostRuns)
            for _ in range(2):
                server = ControlServer(path, TalkingHost().handlers())
                await server.start()
                await until(lambda: isinstance(found[-1], Seen))
                await server.close()
                await until(lambda: isinstance(found[-1], NoHostRuns))
            assert any(isinstance(one, ConnectionEnded) for one in found)


async def test_one_connection_serves_all_looks() -> None:
    with short_folder() as folder:
        met = 0

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            inner_reader, inner_writer = await asyncio.open_unix_connection(server.path)
            while line := await reader.readline():
                inner_writer.write(line)
                writer.write(await inner_reader.readline())
            inner_writer.close()
            writer.close()

        host = TalkingHost(sessions=0)
        server = ControlServer(folder / "c.sock", host.handlers())
        await server.start()
        async with await asyncio.start_unix_server(count, folder / "between.sock"):
            async with watched(OwnHost(folder / "between.sock", every_s=0.01)):
                await until(lambda: host.looks > 3)
            await server.close()
        assert met == 1


async def test_the_host_does_what_it_is_told_and_its_refusal_is_an_error() -> None:
    with short_folder() as folder:
        fake = TalkingHost()
        server = ControlServer(folder / "c.sock", fake.handlers())
        await server.start()
        host = OwnHost(server.path)
        result = await host.tell(PAUSE, NoArguments(), lambda _: None)
        assert isinstance(result, Changed)
        assert result.state is DaemonState.PAUSED
        del fake.slices[FIRST]
        with pytest.raises(Refused):
            await host.tell(DRAIN, DrainArguments(slice=FIRST), lambda _: None)
        await server.close()


async def test_being_cancelled_gives_the_request_up() -> None:
    with short_folder() as folder:
        fake, told = TalkingHost(), list[object]()
        server = ControlServer(folder / "c.sock", fake.handlers())
        await server.start()
        task = asyncio.create_task(OwnHost(server.path).tell(DRAIN, DrainArguments(slice=FIRST), told.append))
        await until(lambda: told)
        assert isinstance(told[0], DrainProgress)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await until(lambda: fake.cancelled == ["drain"])
        await server.close()


def test_looking_at_the_host_imports_no_torch() -> None:
    program = "import sys, chat.own_host, chat.tui.host_panel; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
