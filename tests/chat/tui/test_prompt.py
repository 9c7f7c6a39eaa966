from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from chat.tui.prompt import Prompt


class Host(App[None]):
    """A screen with a prompt that accepts whatever is submitted."""

    CSS = "Prompt { height: auto; max-height: 8; }"

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt()

    def on_prompt_submitted(self, message: Prompt.Submitted) -> None:
        self.submitted.append(message.text)
        self.query_one(Prompt).accepted(message.text)


@pytest.fixture
async def pilot() -> AsyncIterator[Pilot[None]]:
    async with Host().run_test(size=(40, 12)) as pilot:
        pilot.app.query_one(Prompt).focus()
        yield pilot


def prompt(pilot: Pilot[None]) -> Prompt:
    return pilot.app.query_one(Prompt)


def submitted(pilot: Pilot[None]) -> list[str]:
    assert isinstance(pilot.app, Host)
    return pilot.app.submitted


async def test_enter_sends_the_text_without_white_space_around_it(pilot: Pilot[None]) -> None:
    await pilot.press(*" hi ", "enter")
    assert submitted(pilot) == ["hi"]
    assert prompt(pilot).text == ""


async def test_a_blank_text_is_not_sent(pilot: Pilot[None]) -> None:
    await pilot.press("enter", "space", "ctrl+j", "enter")
    assert submitted(pilot) == []


async def test_ctrl_j_begins_a_line_and_the_area_grows(pilot: Pilot[None]) -> None:
    assert prompt(pilot).size.height == 1
    await pilot.press("a", "ctrl+j", "b")
    await pilot.pause()
    assert prompt(pilot).text == "a\nb"
    assert prompt(pilot).size.height == 2
    await pilot.press(*["ctrl+j"] * 20)
    await pilot.pause()
    assert prompt(pilot).size.height == 8


async def test_up_and_down_walk_through_what_was_asked_and_back_to_the_draft(pilot: Pilot[None]) -> None:
    await pilot.press("a", "enter", "b", "enter", "b", "enter", "c")
    seen = []
    for key in ("up", "up", "up", "down", "down"):
        await pilot.press(key)
        seen.append(prompt(pilot).text)
    assert seen == ["b", "a", "a", "b", "c"]


async def test_up_moves_within_a_text_of_several_lines_first(pilot: Pilot[None]) -> None:
    await pilot.press("a", "enter", "x", "ctrl+j", "y", "up")
    assert prompt(pilot).text == "x\ny"
    await pilot.press("up")
    assert prompt(pilot).text == "a"


async def test_a_question_taken_back_does_not_replace_one_being_written(pilot: Pilot[None]) -> None:
    prompt(pilot).take_back("first")
    prompt(pilot).take_back("second")
    assert prompt(pilot).text == "first"
