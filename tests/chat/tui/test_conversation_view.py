from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Markdown

from chat.tui.conversation_view import WELCOME, Answer, ConversationView, Notice, Question


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield ConversationView()


async def test_the_welcome_is_there_until_something_is_said_and_again_after_a_clearing() -> None:
    app = Host()
    async with app.run_test(size=(60, 12)):
        view = app.query_one(ConversationView)
        assert str(view.query_one("#welcome").render()) == WELCOME
        await view.add(Question("hi"))
        assert not view.query("#welcome")
        await view.clear()
        assert str(view.query_one("#welcome").render()) == WELCOME


async def test_an_answer_written_in_many_pieces_is_whole_at_its_end() -> None:
    app = Host()
    async with app.run_test(size=(60, 12)):
        answer = Answer()
        await app.query_one(ConversationView).add(Question("hi"), answer)
        text = "# Title\n\n* one\n* two\n\n```\ncode\n```\n\n" + "word " * 50
        for char in text:
            await answer.write(char)
        await answer.end()
        assert answer.text == answer.query_one(Markdown).source == text


async def test_an_answer_without_a_word_can_end() -> None:
    app = Host()
    async with app.run_test(size=(60, 12)):
        answer = Answer()
        await app.query_one(ConversationView).add(answer, Notice("It failed."))
        await answer.write("")
        await answer.end()
        assert answer.query_one(Markdown).source == ""


async def test_the_view_follows_what_is_added() -> None:
    app = Host()
    async with app.run_test(size=(60, 12)) as pilot:
        view = app.query_one(ConversationView)
        for number in range(30):
            await view.add(Question(f"question {number}"))
        await pilot.pause()
        assert view.scroll_y == view.max_scroll_y > 0
