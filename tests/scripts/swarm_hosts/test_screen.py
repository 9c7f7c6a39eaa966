from __future__ import annotations

import io

import pytest

from scripts.swarm_hosts.screen import Screen


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def speak(screen: Screen) -> None:
    """Use everything a screen can do."""
    screen.say(screen.strong("bold") + screen.bad("no") + screen.good("yes"))
    screen.passing("waiting " * 20)
    screen.begin("answer")
    screen.add("two\nlines\x1b[2J\r")
    screen.end()
    screen.table(("stage", "ms"), [("you", "1.00"), ("host 1", "12.00")], left=1)
    screen.say()


def test_a_pipe_gets_plain_words_and_nothing_that_passes() -> None:
    out = io.StringIO()
    speak(Screen(out))
    assert out.getvalue() == (
        "  boldnoyes\n"
        "  answer       two\n"
        "               lines[2J\n"
        "  stage      ms\n"
        "  you      1.00\n"
        "  host 1  12.00\n"
        "\n"
    )


def test_a_terminal_gets_colour_and_a_passing_line_that_fits_and_is_wiped() -> None:
    out = Terminal()
    speak(Screen(out))
    assert "\x1b[1mbold\x1b[0m\x1b[31mno" in out.getvalue()
    passing = out.getvalue().split("\n")[1].split("\r\x1b[K")
    assert passing[0] == "  \x1b[2m" + ("waiting " * 20)[:37] + "\x1b[0m"
    assert "two" in passing[1]


def test_no_colour_is_shown_to_those_who_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    screen = Screen(out)
    screen.say(screen.bad("no"))
    screen.passing("waiting")
    assert out.getvalue() == "  no\n  waiting"


def test_a_dumb_terminal_is_treated_like_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    speak(Screen(out))
    assert "\x1b" not in out.getvalue()


def test_a_reader_that_goes_away_is_told_once() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

    screen = Screen(Closed())
    with pytest.raises(BrokenPipeError):
        screen.say("hello")
    speak(screen)
