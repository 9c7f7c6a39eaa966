"""`lamella ask`: one question, its answer on standard output. Status goes to standard error, and only to a terminal."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, TextIO

from chat import report
from chat.driver import ClientOptions, Driver
from chat.errors import ChatError, UsageError
from chat.event_json import error_json, event_json
from chat.events import Event, Finished, FinishReason, Planned, Prefilling, TextDelta
from node.slices import threads

Connect = Callable[[ClientOptions, Callable[[str], None]], Awaitable[Driver]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions:
    """How one answer is shown."""

    json: bool = False
    route: bool = False
    stats: bool = False


def question(words: list[str], stdin: TextIO) -> str:
    """Return the question: `words`, and standard input where they say `-` or where there are none.

    Raises:
        UsageError: There is no question.
    """
    piped = "-" in words or not words
    if not words and stdin.isatty():
        raise UsageError("Ask what? Write the question after `lamella ask`, or pipe it in.")
    try:
        parts = [" ".join(word for word in words if word != "-"), stdin.read() if piped else ""]
    except UnicodeDecodeError as error:
        raise UsageError("Standard input is not UTF-8 text.") from error
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    if not text:
        raise UsageError("The question is empty.")
    return text


async def ask(
    connect: Connect, options: ClientOptions, text: str, *, show: AskOptions, out: TextIO, err: TextIO
) -> None:
    """Connect, ask `text` and show the answer on `out`, and what else was asked for on `err`.

    Raises:
        ChatError: There was no whole answer.
        BrokenPipeError: Nobody reads `out` any more.
    """
    status = _Status(err)
    shown: _Shown = _JsonLines(out) if show.json else _Text(out, err, status, show)
    try:
        driver = await connect(options, status.say)
        try:
            events = driver.ask(text)
            try:
                async for event in events:
                    shown.event(event)
            finally:
                if isinstance(events, AsyncGenerator):
                    await events.aclose()
        finally:
            await driver.close()
    except ChatError as error:
        shown.error(error)
        raise
    finally:
        status.clear()
        shown.end()


class _Shown(Protocol):
    def event(self, event: Event) -> None: ...
    def error(self, error: ChatError) -> None: ...
    def end(self) -> None: ...


class _JsonLines:
    """Every event as a line of JSON."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def event(self, event: Event) -> None:
        self._line(event_json(event))

    def error(self, error: ChatError) -> None:
        self._line(error_json(error))

    def end(self) -> None:
        """Nothing is left open."""

    def _line(self, value: dict[str, object]) -> None:
        print(json.dumps(value, ensure_ascii=False), file=self._out, flush=True)


class _Text:
    """The bare text as it comes, and what else was asked for on standard error."""

    def __init__(self, out: TextIO, err: TextIO, status: _Status, show: AskOptions) -> None:
        self._out, self._err, self._status, self._show = out, err, status, show
        self._last = "\n"

    def event(self, event: Event) -> None:
        match event:
            case Planned(route=route) if self._show.route:
                self._note("route: " + report.route_line(route))
            case Planned():
                self._status.say("sending the question")
            case Prefilling(done_tokens=done, total_tokens=total):
                self._status.say(f"reading the question: {done:,} of {total:,} tokens")
            case TextDelta(text=text) if text:
                self._status.clear()
                self._write(printable(text) if self._out.isatty() else text)
            case Finished():
                self._finished(event)

    def error(self, error: ChatError) -> None:
        """The sentence is said once, by the command line."""

    def end(self) -> None:
        if self._last != "\n":
            self._write("\n")

    def _finished(self, event: Finished) -> None:
        self.end()
        if event.reason is FinishReason.LENGTH and self._err.isatty():
            self._note("(cut off: the answer reached the limit on its length)")
        if self._show.stats:
            self._note(report.stats_line(event.stats), *report.table(report.time_rows(event.stats)))

    def _note(self, *lines: str) -> None:
        self._status.clear()
        print(*lines, sep="\n", file=self._err, flush=True)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._last = text[-1]


class _Status:
    """One line that is written over; silent unless it can be."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._able = err.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._dirty = False

    def say(self, words: str) -> None:
        if self._able:
            self._err.write(f"\r\x1b[K{words} …")
            self._err.flush()
            self._dirty = True

    def clear(self) -> None:
        if self._dirty:
            self._err.write("\r\x1b[K")
            self._err.flush()
            self._dirty = False


def printable(text: str) -> str:
    """Strip the control characters with which a model's text could take over a terminal."""
    return "".join(char for char in text if char in "\n\t" or not (char < " " or "\x7f" <= char <= "\x9f"))


def _client() -> ModuleType:
    with threads.importing():
        return importlib.import_module("chat.client")


async def connect_client(options: ClientOptions, progress: Callable[[str], None]) -> Driver:
    """Connect to the real swarm; its libraries take seconds to load and are loaded beside the event loop."""
    progress("starting")
    threads.prepare(options.threads)
    client = await asyncio.to_thread(_client)
    driver: Driver = await client.connect(options, progress=progress)
    return driver
