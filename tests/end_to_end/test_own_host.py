"""Whoever chats looks at the host of the same machine on the screen, and tells a real one what to do."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.widgets import Static

from chat.driver import Driver
from chat.own_host import OwnHost
from chat.tui.app import LamellaApp
from chat.tui.host_panel import HostPanel
from chat.tui.status_bar import StatusBar
from node.control.arguments import NoArguments
from node.control.client import connected
from node.control.commands import STATUS
from node.control.results import DaemonState, SliceState
from tests.fakes import hosts
from tests.fakes.deadline import until
from tests.fakes.driver import FakeDriver
from tests.fakes.hosts import HostOptions


async def connect(progress: Callable[[str], None]) -> Driver:
    """A conversation that is not what is looked at here."""
    return FakeDriver()


async def test_a_real_host_is_paused_drained_and_missed_on_the_screen(
    tiny_model: Path, tmp_path: Path
) -> None:
    # Textual makes a task for everything, and asyncio's debug mode makes each of them ten times slower.
    asyncio.get_running_loop().set_debug(False)
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        socket = Path(folder) / "control.sock"
        app = LamellaApp(connect, OwnHost(socket, every_s=0.1))
        async with app.run_test(size=(120, 30)) as pilot:
            panel = app.query_one(HostPanel)

            def shown() -> str:
                return "\n".join(str(each.render()) for each in panel.query(Static))

            async def shows(words: str) -> None:
                await until(lambda: words in shown())

            await until(lambda: app.query_one(StatusBar).state == "ready")
            await pilot.press("ctrl+o")
            await shows("No host runs at")
            made = hosts.start(tmp_path / "identity", tiny_model, "1:3", HostOptions(control=socket))
            try:
                await asyncio.to_thread(made.wait_ready)
                await shows("this machine's host: serving")
                await pilot.press("p")
                await shows("paused by hand")
                async with connected(socket) as client:
                    assert (await client.call(STATUS, NoArguments())).state is DaemonState.PAUSED
                await pilot.press("p")
                await shows("the host is serving")
                await pilot.press("d")
                await shows("Nobody uses it now")
                await pilot.press("y")
                await shows("0 sessions finished, 0 cut off")
                await shows("u undrains")
                async with connected(socket) as client:
                    (one,) = (await client.call(STATUS, NoArguments())).slices
                assert one.state is SliceState.STOPPED
                await pilot.press("u")
                await shows("@1:3 is serving")
                made.send_signal(signal.SIGKILL)
                await shows("No host runs at")
                assert app.is_running
            finally:
                await asyncio.to_thread(made.end)
