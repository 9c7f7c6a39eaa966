from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Markdown, Static

from chat.driver import Driver
from chat.errors import ChainBroken, HostUnreachable
from chat.events import FinishReason, TextDelta
from chat.tui.app import LamellaApp
from chat.tui.conversation_view import Answer, ConversationView, Notice, Question
from chat.tui.prompt import Prompt
from chat.tui.route_panel import RoutePanel
from chat.tui.status_bar import StatusBar
from tests.fakes.deadline import until
from tests.fakes.driver import PEERS, FakeDriver, answer
from wire.codes import Code


class Talk:
    """A running screen, in the words of the person before it."""

    def __init__(self, app: LamellaApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def state(self) -> str:
        return self.app.query_one(StatusBar).state

    @property
    def questions(self) -> list[str]:
        return [str(each.render()) for each in self.app.query(Question)]

    @property
    def answers(self) -> list[str]:
        return [each.query_one(Markdown).source for each in self.app.query(Answer)]

    @property
    def notices(self) -> list[str]:
        return [str(each.render()) for each in self.app.query(Notice)]

    @property
    def footnotes(self) -> list[str]:
        return [str(each.query_one(".footnote", Static).render()) for each in self.app.query(Answer)]

    @property
    def prompt(self) -> Prompt:
        return self.app.query_one(Prompt)

    async def type(self, text: str) -> None:
        """Type faster than the screen can follow."""
        if text:
            self.app.post_message(events.Paste(text))
            await until(lambda: text in self.prompt.text)

    async def ask(self, text: str) -> None:
        """Ask, and wait until the answer has begun."""
        asked = len(self.questions)
        await self.type(text)
        await self.pilot.press("enter")
        await until(lambda: len(self.questions) > asked)

    async def ready(self) -> None:
        await until(lambda: self.state == "ready")
        await self.pilot.pause()


@asynccontextmanager
async def talking(
    *drivers: FakeDriver | HostUnreachable | asyncio.Event, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Talk]:
    """Run the screen; each attempt to connect takes the next of `drivers`."""
    attempts = list(drivers)

    async def connect(progress: Callable[[str], None]) -> Driver:
        progress("reaching hosts")
        driver = attempts.pop(0)
        if isinstance(driver, asyncio.Event):
            await driver.wait()
            driver = attempts.pop(0)
        if isinstance(driver, FakeDriver):
            return driver
        assert isinstance(driver, HostUnreachable)
        raise driver

    app = LamellaApp(connect)
    async with app.run_test(size=size) as pilot:
        yield Talk(app, pilot)


async def test_an_answer_streams_and_its_figures_stand_below_it() -> None:
    async with talking(FakeDriver(answer("It is **42**."))) as talk:
        await talk.ready()
        await talk.ask("What is it?")
        await talk.ready()
        assert talk.questions == ["What is it?"]
        assert talk.answers == ["It is **42**."]
        assert talk.footnotes == ["31 tokens in · 3 out · first after 0.21 s · 37.5 tokens/s"]
        assert talk.prompt.text == ""


async def test_text_appears_before_the_answer_is_whole() -> None:
    gate = asyncio.Event()
    script = answer("one two three")
    script.insert(4, gate)
    async with talking(FakeDriver(script)) as talk:
        await talk.ready()
        await talk.ask("count")
        await until(lambda: talk.answers == ["one two "])
        assert talk.state == "answering"
        gate.set()
        await talk.ready()
        assert talk.answers == ["one two three"]


async def test_escape_stops_the_answer_and_keeps_what_was_said() -> None:
    driver = FakeDriver([*answer("one two three")[:4], asyncio.Event()], answer("again"))
    async with talking(driver) as talk:
        await talk.ready()
        await talk.ask("count")
        await until(lambda: talk.answers == ["one two "])
        await talk.pilot.press("escape")
        await talk.ready()
        assert driver.cancelled == ["count"]
        assert (talk.answers, talk.footnotes) == (["one two "], ["stopped"])
        await talk.ask("more")
        await talk.ready()
        assert talk.answers == ["one two ", "again"]


async def test_escape_without_an_answer_does_nothing() -> None:
    async with talking(FakeDriver()) as talk:
        await talk.ready()
        await talk.pilot.press("escape")
        assert talk.state == "ready"


async def test_a_failure_is_one_sentence_and_the_conversation_goes_on() -> None:
    broken = [*answer("one two")[:3], ChainBroken("host x is gone", code=Code.HOP_LOST)]
    async with talking(FakeDriver(broken, answer("back"))) as talk:
        await talk.ready()
        await talk.ask("first")
        await talk.ready()
        assert talk.notices == ["Host x is gone."]
        assert (talk.answers, talk.footnotes) == (["one "], ["broken off"])
        await talk.ask("second")
        await talk.ready()
        assert talk.answers[-1] == "back"


async def test_a_second_turn_follows_the_first() -> None:
    driver = FakeDriver(answer("one"), answer("two", planned=False, reason=FinishReason.LENGTH))
    async with talking(driver) as talk:
        for question in ("first", "second"):
            await talk.ready()
            await talk.ask(question)
        await talk.ready()
        assert driver.questions == talk.questions == ["first", "second"]
        assert talk.footnotes[1].startswith(
            "cut off at the longest answer allowed · 31 tokens in (40 reused)"
        )


@pytest.mark.parametrize("paste", [False, True])
async def test_text_and_enter_in_one_burst_ask_the_whole_text(paste: bool) -> None:
    driver = FakeDriver(answer("ok"))
    text = "What is the capital of France?"
    async with talking(driver) as talk:
        await talk.ready()
        if paste:
            talk.app.post_message(events.Paste(text))
        else:
            for char in text:
                talk.app.post_message(events.Key(char, char))
        talk.app.post_message(events.Key("enter", "\r"))
        await until(lambda: driver.questions)
        await talk.ready()
        assert driver.questions == [text]


async def test_a_pasted_text_of_many_lines_is_one_question() -> None:
    driver = FakeDriver(answer("ok"))
    async with talking(driver) as talk:
        await talk.ready()
        talk.app.post_message(events.Paste("one\ntwo\n\nthree\n"))
        await until(lambda: talk.prompt.text)
        await talk.ask("")
        await talk.ready()
        assert driver.questions == ["one\ntwo\n\nthree"]


async def test_a_question_asked_while_connecting_is_asked_once_connected() -> None:
    gate, driver = asyncio.Event(), FakeDriver(answer("hello"))
    async with talking(gate, driver) as talk:
        await until(lambda: talk.state == "reaching hosts")
        await talk.type("early")
        await talk.pilot.press("enter")
        assert talk.prompt.text == ""
        gate.set()
        await until(lambda: talk.answers == ["hello"])
        assert driver.questions == ["early"]


async def test_without_a_host_the_screen_says_so_and_enter_tries_again() -> None:
    driver = FakeDriver(answer("hello"))
    async with talking(HostUnreachable("no host answered"), driver) as talk:
        await until(lambda: talk.notices)
        assert talk.notices == ["No host answered. Enter tries again."]
        assert talk.state == "not connected"
        await talk.ask("now?")
        await talk.ready()
        assert driver.questions == ["now?"]


async def test_a_question_that_could_not_be_asked_is_given_back() -> None:
    gate = asyncio.Event()
    async with talking(gate, HostUnreachable("no host answered")) as talk:
        await talk.type("early")
        await talk.pilot.press("enter")
        gate.set()
        await until(lambda: talk.notices)
        await until(lambda: talk.prompt.text == "early")


async def test_one_question_is_answered_at_a_time() -> None:
    gate = asyncio.Event()
    driver = FakeDriver([gate, *answer("one")])
    async with talking(driver) as talk:
        await talk.ready()
        await talk.ask("first")
        await talk.type("second")
        await talk.pilot.press("enter")
        assert talk.state == "one question at a time: Esc stops this answer"
        assert talk.prompt.text == "second"
        gate.set()
        await talk.ready()
        assert driver.questions == ["first"]


async def test_a_new_conversation_forgets_the_old_one() -> None:
    driver = FakeDriver([*answer("one")[:3], asyncio.Event()], answer("two"))
    async with talking(driver) as talk:
        await talk.ready()
        await talk.ask("first")
        await until(lambda: talk.answers == ["one"])
        await talk.pilot.press("ctrl+n")
        await until(lambda: driver.resets == 1)
        await talk.ready()
        assert driver.cancelled == ["first"]
        assert talk.questions == []
        await talk.ask("second")
        await talk.ready()
        assert talk.answers == ["two"]


async def test_the_route_is_shown_and_hidden() -> None:
    async with talking(FakeDriver(answer("one"))) as talk:
        await talk.ready()
        panel = talk.app.query_one(RoutePanel)
        assert not panel.display
        await talk.pilot.press("ctrl+r")
        await until(lambda: panel.display)
        await talk.ask("first")
        await talk.ready()
        shown = str(panel.query_one(Static).render())
        assert all(peer.short in shown for peer in PEERS)
        # On the narrowest screen that has it at the side, no column is cut off.
        await talk.pilot.resize_terminal(110, 32)
        await until(lambda: panel.size.width < 100)
        assert max(map(len, shown.splitlines())) <= panel.scrollable_content_region.width
        await talk.pilot.press("ctrl+r")
        await until(lambda: not panel.display)


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
async def test_leaving_stops_the_answer_and_closes_the_driver(key: str) -> None:
    driver = FakeDriver([*answer("one")[:3], asyncio.Event()])
    async with talking(driver) as talk:
        await talk.ready()
        await talk.ask("first")
        await until(lambda: talk.answers == ["one"])
        await talk.pilot.press(key)
        await until(lambda: driver.closed)
    assert driver.cancelled == ["first"]


async def test_leaving_while_connecting_does_not_wait_for_hosts() -> None:
    async with talking(asyncio.Event()) as talk:
        await talk.pilot.press("ctrl+q")
        await until(lambda: not talk.app.is_running)


async def test_with_a_selection_ctrl_c_copies_instead_of_leaving() -> None:
    async with talking(FakeDriver()) as talk:
        await talk.ready()
        await talk.type("copy me")
        talk.prompt.select_all()
        await talk.pilot.press("ctrl+c")
        assert talk.app.clipboard == "copy me"
        assert talk.state == "ready"


async def test_text_that_looks_like_markup_is_shown_as_it_is() -> None:
    said = "[bold]x[/bold] [/nonsense] [@click=app.quit]y[/]"
    driver = FakeDriver(answer(said), [ChainBroken("host [red]x[/nope] is gone", code=None)])
    async with talking(driver) as talk:
        await talk.ready()
        await talk.ask("[b]ask[/i]")
        await talk.ready()
        assert (talk.questions, talk.answers) == (["[b]ask[/i]"], [said])
        await talk.ask("again")
        await talk.ready()
        assert talk.notices == ["Host [red]x[/nope] is gone."]


async def test_control_characters_do_not_reach_the_terminal() -> None:
    async with talking(FakeDriver(answer("a\x1b[2Jb\x07"))) as talk:
        await talk.ready()
        await talk.ask("attack")
        await talk.ready()
        assert talk.answers == ["a[2Jb"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12), (20, 8)])
async def test_every_part_fits_the_terminal(size: tuple[int, int]) -> None:
    async with talking(FakeDriver(answer("line\n\n" * 60)), size=size) as talk:
        await talk.ready()
        await talk.pilot.press("ctrl+r")
        await talk.ask("count")
        await talk.ready()
        for kind in (StatusBar, ConversationView, Prompt):
            region = talk.app.query_one(kind).region
            assert region.height >= 1
            assert talk.app.screen.region.contains_region(region)


async def test_the_screen_follows_a_resize() -> None:
    async with talking(FakeDriver(answer("line\n\n" * 60)), size=(120, 40)) as talk:
        await talk.ready()
        await talk.ask("count")
        await talk.ready()
        await talk.pilot.resize_terminal(80, 24)
        await talk.pilot.pause()
        assert talk.app.query_one(ConversationView).region.right <= 80
        assert talk.app.query_one(Prompt).region.bottom <= 24


async def test_the_view_stays_where_one_scrolled_while_an_answer_grows() -> None:
    gate = asyncio.Event()
    script = [*answer("\n\n".join(["line"] * 60))[:-1], gate, TextDelta(text="\n\nend" * 20, token_ids=(1,))]
    async with talking(FakeDriver(script)) as talk:
        await talk.ready()
        await talk.ask("count")
        view = talk.app.query_one(ConversationView)
        await until(lambda: view.max_scroll_y > 40 and view.scroll_y == view.max_scroll_y)
        await talk.pilot.press("pageup")
        await until(lambda: view.scroll_y < view.max_scroll_y - 5)
        gate.set()
        await talk.ready()
        assert view.scroll_y < view.max_scroll_y - 20


async def test_without_colour_the_screen_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with talking(FakeDriver(answer("one"))) as talk:
        await talk.ready()
        await talk.ask("first")
        await talk.ready()
        assert talk.app.no_color
        assert talk.answers == ["one"]
