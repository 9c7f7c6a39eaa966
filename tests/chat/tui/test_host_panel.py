from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static

from chat.driver import Driver
from chat.own_host import OwnHost
from chat.tui.app import LamellaApp
from chat.tui.conversation_view import Answer, ConversationView
from chat.tui.host_panel import HostPanel
from chat.tui.prompt import Prompt
from chat.tui.route_panel import RoutePanel
from chat.tui.status_bar import StatusBar
from node.control import client as control_client
from node.control.credentials import PeerProcess
from node.control.results import DaemonState, SliceState
from node.control.server import ControlServer
from tests.fakes.control import short_folder
from tests.fakes.deadline import until
from tests.fakes.driver import FakeDriver, answer
from tests.fakes.talking_host import FIRST, SECOND, TalkingHost

EVERY_S = 0.1


class Stranger(PeerProcess):
    """A process of a user who is neither this one nor root."""

    def __init__(self) -> None:
        super().__init__(4007, 1)

    def may_answer(self, own_uid: int) -> bool:
        """Root, who may ask any host, is taken for somebody else."""
        return super().may_answer(4000)


class Desk:
    """The screen with its panel, in the words of the person before it."""

    def __init__(self, app: LamellaApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def panel(self) -> HostPanel:
        return self.app.query_one(HostPanel)

    @property
    def text(self) -> str:
        return "\n".join(str(each.render()) for each in self.panel.query(Static))

    @property
    def state(self) -> str:
        return self.app.query_one(StatusBar).state

    def is_seen(self, name: str, state: SliceState) -> bool:
        """Whether the panel has heard that a slice does this."""
        return (name, state) in [(one.name, one.state) for one in self.panel._slices]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def shows(self, words: str) -> None:
        await until(lambda: words in self.text)

    async def type(self, text: str) -> None:
        self.app.post_message(events.Paste(text))
        await until(lambda: text in self.app.query_one(Prompt).text)
        await self.press("enter")


@asynccontextmanager
async def at_desk(
    path: Path, driver: FakeDriver | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Desk]:
    async def connect(progress: Callable[[str], None]) -> Driver:
        return driver if driver is not None else FakeDriver()

    app = LamellaApp(connect, OwnHost(path, every_s=EVERY_S))
    async with app.run_test(size=size) as pilot:
        desk = Desk(app, pilot)
        await until(lambda: desk.state == "ready")
        yield desk


@asynccontextmanager
async def served(host: TalkingHost, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Desk]:
    """A panel that is open on a host that runs."""
    with short_folder() as folder:
        server = ControlServer(folder / "c.sock", host.handlers())
        await server.start()
        try:
            async with at_desk(server.path, size=size) as desk:
                await desk.press("ctrl+o")
                await desk.shows(FIRST)
                yield desk
        finally:
            await server.close()


async def test_the_panel_follows_the_host_while_it_is_shown_and_not_when_hidden() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.shows("this machine's host: serving")
        await desk.shows("client0")
        host.state, host.why = DaemonState.PAUSED, "paused by hand"
        await desk.shows("paused by hand")
        await desk.press("escape")
        await until(lambda: not desk.panel.display)
        await until(lambda: not [each for each in desk.app.workers if each.name == "own host"])
        looks = host.looks
        await desk.type("/host")
        await until(lambda: desk.panel.display and host.looks > looks)


async def test_a_hidden_panel_asks_nobody() -> None:
    host = TalkingHost()
    with short_folder() as folder:
        server = ControlServer(folder / "c.sock", host.handlers())
        await server.start()
        async with at_desk(server.path, FakeDriver(answer("one"))) as desk:
            await desk.type("first")
            await until(lambda: len(desk.app.query(Answer)) == 1 and desk.state == "ready")
            assert not desk.panel.display
        await server.close()
    assert host.looks == 0


async def test_a_host_is_paused_and_resumed_with_one_key() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("p")
        await desk.shows("p resumes")
        await desk.press("p")
        await desk.shows("p pauses")
        await desk.shows("the host is serving")
    assert host.asked == ["pause", "resume"]


async def test_draining_is_asked_about_first_and_a_no_leaves_it() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        for no in ("n", "escape"):
            await desk.press("d")
            await desk.shows(f"Drain {FIRST}? 1 answer is under way")
            await desk.press(no)
            await until(lambda: "Drain" not in desk.text)
        assert desk.panel.display
        await desk.press("y")
    assert host.asked == []


async def test_a_drain_tells_its_progress_and_its_end() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("d", "y")
        await desk.shows("draining, 1 session, 4 min 59 s left")
        await desk.shows("Esc calls it off")
        host.go.set()
        await desk.shows(f"stopped {FIRST}: 1 session finished, 0 cut off")
        await desk.shows("u undrains")
    assert host.asked == [f"drain {FIRST}"]


async def test_calling_a_drain_off_serves_the_slice_again() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("d", "y")
        await desk.shows("Esc calls it off")
        await desk.press("escape")
        await desk.shows(f"{FIRST} is serving")
        await until(lambda: host.cancelled == ["drain"])
        assert host.slices[FIRST].state is SliceState.SERVING
        assert desk.panel.display
    assert host.asked == [f"drain {FIRST}", f"undrain {FIRST}"]


async def test_the_slice_that_was_chosen_is_undrained_and_that_can_be_called_off() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("down", "down", "d")
        await desk.shows(f"Drain {SECOND}? Nobody uses it now")
        host.go.set()
        await desk.press("y")
        await desk.shows(f"stopped {SECOND}")
        # The drain is answered and the slice seen to be stopped in either order.
        await until(lambda: desk.panel._doing is None and desk.is_seen(SECOND, SliceState.STOPPED))
        host.go.clear()
        await desk.press("u")
        await desk.shows(f"{SECOND}: loading 50%")
        await desk.press("escape")
        await desk.shows("what is not loaded yet stays drained")
        await until(lambda: host.cancelled == ["undrain"])
        await desk.press("up", "u")
        await desk.shows(f"{FIRST} is serving; nothing to undrain.")
    assert host.asked == [f"drain {SECOND}", f"undrain {SECOND}"]


async def test_one_thing_is_done_at_a_time() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("d", "y")
        await desk.shows("Esc calls it off")
        await desk.press("p")
        await desk.shows("one thing at a time")
    assert host.asked == [f"drain {FIRST}"]


async def test_what_was_begun_goes_on_when_the_panel_is_hidden() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("d", "y")
        await desk.shows("4 min 59 s")
        await desk.press("ctrl+o")
        await until(lambda: not desk.panel.display)
        host.go.set()
        await until(lambda: host.slices[FIRST].state is SliceState.STOPPED)
        await desk.press("ctrl+o")
        await desk.shows("u undrains")
    assert host.cancelled == []


async def test_leaving_in_the_middle_of_a_drain_leaves_at_once() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        await desk.press("d", "y")
        await desk.shows("4 min 59 s")
        await desk.press("ctrl+q")
        await until(lambda: not desk.app.is_running)
    await until(lambda: host.cancelled == ["drain"])


async def test_a_refusal_is_a_sentence() -> None:
    host = TalkingHost()
    async with served(host) as desk:
        host.go.set()
        await desk.press("d", "y")
        await desk.shows("u undrains")
        host.slices[FIRST] = replace(host.slices[FIRST], detail="broken")
        await desk.press("u")
        await desk.shows("Its weights are damaged; repair them with `lamella-node models --repair`.")
        assert desk.app.is_running


async def test_without_a_host_the_panel_says_how_to_start_one() -> None:
    with short_folder() as folder:
        async with at_desk(folder / "none.sock") as desk:
            await desk.press("ctrl+o")
            await desk.shows("No host runs at")
            await desk.shows("lamella-node service install -- --model pocket")
            await desk.press("p", "d", "u", "y", "up", "enter")
            assert "No host runs at" in desk.text


async def test_a_host_that_stops_while_it_is_looked_at_is_missed_and_found_again() -> None:
    with short_folder() as folder:
        path, driver = folder / "c.sock", FakeDriver(answer("still here"))
        first = ControlServer(path, TalkingHost().handlers())
        await first.start()
        async with at_desk(path, driver) as desk:
            await desk.press("ctrl+o")
            await desk.shows(FIRST)
            await desk.press("d")
            await desk.shows("Drain")
            await first.close()
            await desk.shows("No host runs at")
            assert "Drain" not in desk.text
            assert FIRST not in desk.text
            again = ControlServer(path, TalkingHost().handlers())
            await again.start()
            await desk.shows(FIRST)
            await desk.press("tab")
            await desk.type("are you?")
            await until(lambda: driver.questions == ["are you?"])
            await again.close()


async def test_a_stranger_at_the_socket_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not everywhere can a test start a program of another user, so the system is made to say that it is one's.
    monkeypatch.setattr(control_client, "read_peer", lambda _: Stranger())
    with short_folder() as folder:
        server = ControlServer(folder / "c.sock", TalkingHost().handlers())
        await server.start()
        async with at_desk(server.path) as desk:
            await desk.press("ctrl+o")
            await desk.shows("runs as user 4007; find out what it is; it is not your host.")
            assert FIRST not in desk.text
        await server.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"v":2,"id":1,"error":{"code":"other_version","cause":"this host speaks version 2","next_step":'
         b'"update the older of the two programs"}}\n', "This host speaks version 2; update the older"),
        (b'{"v":1,"id":1,"ok":{"state":"dancing"}}\n', "update the older"),
        (b"HTTP/1.1 400 Bad Request\r\n", "The line is not JSON; update the older"),
        (b"\xff" * 2_000_000, "it stopped, or was stopped"),
    ],
)  # fmt: skip
async def test_what_is_no_host_of_this_version_is_a_sentence(line: bytes, said: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        await reader.read()
        writer.close()

    with short_folder() as folder:
        async with (
            await asyncio.start_unix_server(talk, folder / "c.sock"),
            at_desk(folder / "c.sock") as desk,
        ):
            await desk.press("ctrl+o")
            await desk.shows(said)
            assert desk.app.is_running


async def test_an_answer_goes_on_beside_the_open_panel_and_the_prompt_keeps_its_keys() -> None:
    gate, host = asyncio.Event(), TalkingHost()
    script = answer("one two three")
    script.insert(4, gate)
    with short_folder() as folder:
        server = ControlServer(folder / "c.sock", host.handlers())
        await server.start()
        async with at_desk(server.path, FakeDriver(script)) as desk:
            await desk.type("count")
            await until(lambda: desk.state == "answering")
            await desk.press("ctrl+o")
            await desk.shows(FIRST)
            gate.set()
            await until(lambda: desk.app.query_one(Answer).text == "one two three")
            await desk.press("tab")
            await desk.shows("Tab for its keys")
            await desk.press("p", "d")
            assert desk.app.query_one(Prompt).text == "pd"
        await server.close()
    assert host.asked == []


async def test_the_host_and_the_route_take_turns() -> None:
    async with served(TalkingHost()) as desk:
        await desk.press("ctrl+r")
        assert (desk.panel.display, desk.app.query_one(RoutePanel).display) == (False, True)
        assert desk.app.focused is desk.app.query_one(Prompt)
        await desk.press("ctrl+o")
        assert (desk.panel.display, desk.app.query_one(RoutePanel).display) == (True, False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12), (20, 8)])
async def test_every_part_fits_the_terminal(size: tuple[int, int]) -> None:
    async with served(TalkingHost(sessions=30), size=size) as desk:
        await desk.press("d")
        await desk.shows("Drain")
        for kind in (StatusBar, HostPanel, ConversationView, Prompt):
            assert desk.app.screen.region.contains_region(desk.app.query_one(kind).region)
        assert desk.panel.query_one("#host-says").region.height >= 1
