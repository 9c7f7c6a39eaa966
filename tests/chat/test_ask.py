from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from chat.ask import AskOptions, ask, printable, question
from chat.driver import ClientOptions, Driver
from chat.errors import ChainBroken, ChatError, HostUnreachable, UsageError
from chat.events import FinishReason
from tests.fakes.driver import PEERS, FakeDriver, answer
from wire.codes import Code

OPTIONS = ClientOptions(model="pocket", contacts=())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class Screen:
    """Standard output and error of one run."""

    def __init__(self, out: io.StringIO, err: io.StringIO) -> None:
        self._out, self._err = out, err

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()

    async def run(self, driver: FakeDriver, show: AskOptions | None = None) -> None:
        async def connect(options: ClientOptions, progress: Callable[[str], None]) -> Driver:
            progress("reaching hosts")
            return driver

        await ask(connect, OPTIONS, "What?", show=show or AskOptions(), out=self._out, err=self._err)


@pytest.fixture
def pipe() -> Screen:
    return Screen(io.StringIO(), io.StringIO())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm")
    return Screen(Terminal(), Terminal())


async def test_a_pipe_gets_the_bare_text_and_a_newline(pipe: Screen) -> None:
    driver = FakeDriver(answer("It is \x1b[1m42."))
    await pipe.run(driver)
    assert (pipe.out, pipe.err) == ("It is \x1b[1m42.\n", "")
    assert driver.questions == ["What?"]
    assert driver.closed


async def test_a_newline_at_the_end_of_the_text_is_not_doubled(pipe: Screen) -> None:
    await pipe.run(FakeDriver(answer("one\ntwo\n")))
    assert pipe.out == "one\ntwo\n"


async def test_a_terminal_sees_what_is_being_waited_for_and_no_control_characters(terminal: Screen) -> None:
    await terminal.run(FakeDriver(answer("It is \x1b[1m42.")))
    assert terminal.out == "It is [1m42.\n"
    assert "reaching hosts …" in terminal.err
    assert "reading the question: 31 of 31 tokens …" in terminal.err
    assert terminal.err.endswith("\r\x1b[K")


async def test_a_dumb_terminal_sees_no_status(terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    await terminal.run(FakeDriver(answer("42")))
    assert terminal.err == ""


async def test_route_and_figures_go_to_standard_error_when_asked_for(pipe: Screen) -> None:
    await pipe.run(FakeDriver(answer("42")), AskOptions(route=True, stats=True))
    assert pipe.out == "42\n"
    lines = pipe.err.splitlines()
    assert lines[0].startswith("route: this machine embedding, 0:1 → ")
    assert lines[1].startswith("31 tokens in · 1 out ")
    assert [line.split()[0] for line in lines[4:7]] == [peer.short for peer in PEERS]


async def test_an_answer_cut_off_is_said_to_be(terminal: Screen) -> None:
    await terminal.run(FakeDriver(answer("1 2 3", reason=FinishReason.LENGTH)))
    assert "(cut off: the answer reached the limit on its length)" in terminal.err


async def test_every_event_is_a_line_of_json(pipe: Screen) -> None:
    await pipe.run(FakeDriver(answer("It is 42.")), AskOptions(json=True))
    events = [json.loads(line) for line in pipe.out.splitlines()]
    assert [event["event"] for event in events] == [
        "planned",
        "prefilling",
        "text",
        "text",
        "text",
        "finished",
    ]
    assert "".join(event["text"] for event in events[2:5]) == "It is 42."


async def test_a_failure_ends_the_line_and_is_raised(pipe: Screen) -> None:
    driver = FakeDriver([*answer("It is 42.")[:3], ChainBroken("host x is gone", code=Code.HOP_LOST)])
    with pytest.raises(ChainBroken):
        await pipe.run(driver)
    assert pipe.out == "It \n"
    assert driver.closed


async def test_a_failure_is_the_last_line_of_json(pipe: Screen) -> None:
    with pytest.raises(ChatError):
        await pipe.run(FakeDriver([HostUnreachable("no host answered")]), AskOptions(json=True))
    assert json.loads(pipe.out)["error"] == "HostUnreachable"


async def test_when_nobody_reads_the_answer_is_cancelled() -> None:
    driver = FakeDriver(answer("It is 42."))
    with pytest.raises(BrokenPipeError):
        await Screen(ClosedPipe(), io.StringIO()).run(driver)
    assert driver.cancelled == ["What?"]
    assert driver.closed


def test_the_question_is_the_words() -> None:
    assert question(["What", "is", "this?"], io.StringIO("unread")) == "What is this?"


def test_without_words_the_question_is_standard_input() -> None:
    assert question([], io.StringIO("What is this?\n")) == "What is this?"


def test_a_dash_stands_for_standard_input_after_the_words() -> None:
    assert question(["-"], io.StringIO("x")) == "x"
    assert question(["Summarise:", "-"], io.StringIO("a\nb\n")) == "Summarise:\n\na\nb"


@pytest.mark.parametrize(
    ("words", "stdin"), [([], Terminal()), ([" "], io.StringIO()), (["-"], io.StringIO(" \n"))]
)
def test_no_question_is_refused(words: list[str], stdin: io.StringIO) -> None:
    with pytest.raises(UsageError):
        question(words, stdin)


def test_input_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        question(["-"], io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))


def test_only_what_cannot_harm_a_terminal_is_printable() -> None:
    assert printable("a\tb\n\x1b]0;title\x07\x9b2J\r\x7f é🙂") == "a\tb\n]0;title2J é🙂"
