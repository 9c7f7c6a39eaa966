"""The screen: wires keys and the driver's events to the widgets. All states of a conversation are in `Phase`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from enum import Enum
from typing import Final

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal
from textual.widgets import Footer, Static
from textual.worker import Worker, WorkerCancelled

from chat import report
from chat.driver import Driver
from chat.errors import ChatError, sentence
from chat.events import Event, Finished, FinishReason, Planned, Prefilling, TextDelta
from chat.own_host import OwnHost
from chat.tui.conversation_view import Answer, ConversationView, Notice, Question
from chat.tui.host_panel import HostPanel
from chat.tui.prompt import Prompt
from chat.tui.route_panel import RoutePanel
from chat.tui.status_bar import StatusBar

_CLOSE_TIMEOUT_S: Final = 3.0
"""The longest that quitting waits for hosts to hear of it."""

_HOST: Final = "/host"
"""A question that is none: it shows this machine's host, as the key does."""

Connect = Callable[[Callable[[str], None]], Awaitable[Driver]]
"""Makes a driver; is given whom to tell what is being waited for."""


class Phase(Enum):
    """What the screen is doing."""

    CONNECTING = "connecting"
    OFFLINE = "not connected"
    READY = "ready"
    ANSWERING = "answering"
    STOPPING = "stopping"
    LEAVING = "leaving"


class LamellaApp(App[None], inherit_bindings=False):
    """A conversation with one model."""

    TITLE = "lamella"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - Textual's own attribute
    BINDINGS = [  # noqa: RUF012 - Textual's own attribute
        Binding("enter", "send", "Send"),
        Binding("ctrl+j", "newline", "Newline"),
        Binding("escape", "stop", "Stop"),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+r", "route", "Route", priority=True),
        Binding("ctrl+o", "host", "Host", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "copy_or_quit", show=False, priority=True),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
    ]

    def __init__(self, connect: Connect, host: OwnHost | None = None) -> None:
        """Draw nothing yet.

        Args:
            host: this machine's; the one of the usual control socket when None.
        """
        super().__init__()
        self._connect = connect
        self._host = host if host is not None else OwnHost()
        self._chat: Driver | None = None
        self._phase = Phase.CONNECTING
        self._waiting: str | None = None
        """A question asked before there was a connection."""
        self._work: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield StatusBar()
        with Container(id="body"):
            yield ConversationView()
            yield RoutePanel()
            yield HostPanel(self._host)
        with Horizontal(id="ask"):
            yield Static("›", id="mark", markup=False)
            yield Prompt()
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(Prompt).focus()
        self._reach()

    # Connecting

    def _reach(self) -> None:
        self._enter(Phase.CONNECTING)
        self._work = self.run_worker(self._connecting(), name="connect")

    async def _connecting(self) -> None:
        try:
            self._chat = await self._connect(self._progress)
        except ChatError as error:
            self._enter(Phase.OFFLINE)
            await self._view.add(Notice(f"{sentence(error)} Enter tries again."))
            if self._waiting is not None:
                self.query_one(Prompt).take_back(self._waiting)
                self._waiting = None
            return
        self.query_one(StatusBar).model = f"{self._chat.model_name} …{self._chat.model_id.short}"
        self._enter(Phase.READY)
        if self._waiting is not None:
            text, self._waiting = self._waiting, None
            await self._ask(text)

    def _progress(self, words: str) -> None:
        self._say(words)

    # Asking

    @on(Prompt.Submitted)
    async def _submitted(self, message: Prompt.Submitted) -> None:
        if message.text == _HOST:
            self.query_one(Prompt).accepted(message.text)
            self.action_host()
        elif self._phase is Phase.READY:
            self.query_one(Prompt).accepted(message.text)
            await self._ask(message.text)
        elif self._phase in (Phase.CONNECTING, Phase.OFFLINE) and self._waiting is None:
            self.query_one(Prompt).accepted(message.text)
            self._waiting = message.text
            if self._phase is Phase.OFFLINE:
                self._reach()
        else:
            self._say("one question at a time: Esc stops this answer")

    async def _ask(self, text: str) -> None:
        answer = Answer()
        self._enter(Phase.ANSWERING)
        await self._view.add(Question(text), answer)
        self._work = self.run_worker(self._answering(text, answer), name="answer")

    async def _answering(self, text: str, answer: Answer) -> None:
        if self._chat is None:
            return
        events = self._chat.ask(text)
        try:
            async for event in events:
                await self._show(event, answer)
        except ChatError as error:
            answer.say("not answered" if not answer.text else "broken off")
            await self._view.add(Notice(sentence(error)))
        except asyncio.CancelledError:
            answer.say("stopped")
            raise
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
            await answer.end()
            self._enter(Phase.READY)

    async def _show(self, event: Event, answer: Answer) -> None:
        panel = self.query_one(RoutePanel)
        match event:
            case Planned(route=route):
                panel.show_route(route)
            case Prefilling(done_tokens=done, total_tokens=total):
                self._say(f"reading {done:,} of {total:,} tokens")
            case TextDelta(text=text):
                self._say("answering")
                await answer.write(text)
            case Finished(reason=reason, stats=stats):
                cut = "cut off at the longest answer allowed · " if reason is FinishReason.LENGTH else ""
                answer.say(cut + report.stats_line(stats))
                panel.show_stats(stats)

    # Keys

    async def action_stop(self) -> None:
        """Stop the answer; what was said of it stays."""
        if self._phase is Phase.ANSWERING and self._work is not None:
            self._enter(Phase.STOPPING)
            self._work.cancel()

    def action_send(self) -> None:
        """Send, for a click on the footer; the key itself is the prompt's."""
        self.query_one(Prompt).submit()

    def action_newline(self) -> None:
        """Begin a line, for a click on the footer; the key itself is the prompt's."""
        self.query_one(Prompt).insert("\n")

    def action_new(self) -> None:
        """Begin a new conversation."""
        if self._chat is not None and self._phase in (Phase.READY, Phase.ANSWERING):
            self._enter(Phase.STOPPING)
            self.run_worker(self._begin_anew(self._chat), name="new")

    async def _begin_anew(self, driver: Driver) -> None:
        await self._stop_work()
        self._enter(Phase.STOPPING)
        await self._view.clear()
        self.query_one(RoutePanel).clear()
        try:
            await driver.reset()
        except ChatError as error:
            await self._view.add(Notice(sentence(error)))
        self._enter(Phase.READY)

    def action_route(self) -> None:
        """Show or hide the route."""
        panel = self.query_one(RoutePanel)
        panel.display = not panel.display
        if panel.display:
            self._close_host()

    def action_host(self) -> None:
        """Show or hide this machine's host."""
        if self.query_one(HostPanel).display:
            self._close_host()
        else:
            # There is room for one of them.
            self.query_one(RoutePanel).display = False
            self.query_one(HostPanel).open()

    @on(HostPanel.Closed)
    def _close_host(self) -> None:
        panel = self.query_one(HostPanel)
        if panel.display:
            panel.close()
            self.query_one(Prompt).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's own
        """Leave Enter and Ctrl+J to the prompt while the panel of the host has the keys."""
        return action not in ("send", "newline") or not isinstance(self.focused, HostPanel)

    def action_scroll(self, pages: int) -> None:
        """Scroll the conversation while the prompt keeps the keys."""
        if pages < 0:
            self._view.release_anchor()
            self._view.scroll_page_up()
        else:
            self._view.scroll_page_down()

    async def action_copy_or_quit(self) -> None:
        """Copy what is selected; leave when nothing is."""
        selected = self.query_one(Prompt).selected_text or self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
        else:
            await self.action_quit()

    async def action_quit(self) -> None:
        """Stop the answer, tell the hosts, and leave."""
        if self._phase is not Phase.LEAVING:
            self._enter(Phase.LEAVING)
            self.run_worker(self._leave(), name="quit")

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._stop_work()
                if self._chat is not None:
                    await self._chat.close()
        except TimeoutError:
            pass
        self.exit()

    async def _stop_work(self) -> None:
        work, self._work = self._work, None
        if work is not None and not work.is_finished:
            work.cancel()
            with contextlib.suppress(WorkerCancelled):
                await work.wait()

    # Showing

    @property
    def _view(self) -> ConversationView:
        return self.query_one(ConversationView)

    def _enter(self, phase: Phase) -> None:
        if self._phase is not Phase.LEAVING:
            self._phase = phase
        self._say(self._phase.value)

    def _say(self, words: str) -> None:
        self.query_one(StatusBar).state = words
