"""The log is lines for people or JSON, keeps floods out, survives its stream, and holds nothing a session says."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from datetime import UTC, datetime

import torch

from node.control.limits import MAX_LOG_CHARS
from node.sight.records import about
from node.sight.sparing import BURST
from tests.fakes.logged import Clock, Terminal, logging_to
from tests.fakes.serving import Table, passing, step
from wire.messages.forward import Tokens
from wire.messages.session import Close
from wire.types import SessionId

log = logging.getLogger("node.test")
AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, UTC).timestamp()


def test_on_a_terminal_records_are_lines_for_people() -> None:
    stream = Terminal(is_terminal=True)
    with logging_to(stream, wall=lambda: AT):
        log.warning("nobody answers at %s", "127.0.0.1:7311")
        with about("abcdef123456"):
            log.info("opened")
    assert stream.lines == [
        "2026-03-04 05:06:07.089Z WARNING node.test nobody answers at 127.0.0.1:7311",
        "2026-03-04 05:06:07.089Z INFO node.test [session abcdef123456] opened",
    ]


def test_elsewhere_records_are_json_or_as_told() -> None:
    stream = Terminal()
    with logging_to(stream, wall=lambda: AT):
        log.error("größer als \N{SNOWMAN}", extra={"session": SessionId(b"s" * 16)})
    assert stream.objects == [
        {
            "time": "2026-03-04T05:06:07.089Z",
            "level": "error",
            "logger": "node.test",
            "message": "größer als \N{SNOWMAN}",
            "session": str(SessionId(b"s" * 16)),
        }
    ]
    assert stream.getvalue().isascii()
    told = Terminal(is_terminal=True)
    with logging_to(told, as_json=True):
        log.info("x")
    assert told.objects[0]["message"] == "x"


def test_levels_below_the_one_asked_for_are_not_told() -> None:
    stream = Terminal()
    with logging_to(stream, level=logging.WARNING) as logs:
        log.info("quiet")
        log.warning("loud")
        assert [one.message for one in logs.ring.past(10)] == ["loud"]
    assert len(stream.lines) == 1


def test_what_was_there_before_is_given_back() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with logging_to(Terminal()) as logs:
        assert root.handlers == [logs]
    assert (root.handlers, root.level) == before


def test_a_peer_that_makes_us_warn_again_and_again_fills_no_log() -> None:
    stream, clock = Terminal(), Clock()
    with logging_to(stream, clock=clock) as logs:
        for number in range(5_000):
            log.warning("peer %d sent what is no message", number)
        log.warning("something else")
        assert len(stream.lines) == BURST + 1
        assert logs.facts().spared == 5_000 - BURST
        clock.now += 61
        logs.settle()
        said = stream.objects[-1]
        assert said["message"] == (
            f"{5_000 - BURST} more like this within 60 s: peer {BURST - 1} sent what is no message"
        )
        assert said["level"] == "warning"
        logs.settle()
        assert len(stream.lines) == BURST + 2


def test_a_flood_that_still_goes_on_is_summed_up_when_the_host_ends() -> None:
    stream = Terminal()
    with logging_to(stream):
        for _ in range(BURST + 3):
            log.warning("again")
    assert stream.objects[-1]["message"].startswith("3 more like this")


def test_who_asked_for_debugging_gets_everything() -> None:
    stream = Terminal()
    with logging_to(stream):
        for _ in range(3 * BURST):
            log.debug("again")
    assert len(stream.lines) == 3 * BURST


def test_what_cannot_be_written_is_counted_and_kept() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with logging_to(Gone()) as logs:
        log.warning("nobody reads")
        assert logs.facts().unwritten == 1
        assert logs.facts().records == {"warning": 1}
        assert [one.message for one in logs.ring.past(1)] == ["nobody reads"]
    closed = Terminal()
    closed.close()
    with logging_to(closed, as_json=False) as logs:
        log.warning("nobody can")
        assert logs.facts().unwritten == 1


def test_a_terminal_without_an_alphabet_is_written_to_all_the_same() -> None:
    class Plain(Terminal):
        encoding = "ascii"

    stream = Plain(is_terminal=True)
    with logging_to(stream) as logs:
        log.warning("größer")
        assert logs.facts().unwritten == 0
    assert stream.lines[0].endswith("gr\\xf6\\xdfer")


def test_messages_are_cut_to_what_the_control_socket_sends() -> None:
    with logging_to(Terminal(), max_chars=MAX_LOG_CHARS) as logs:
        log.warning("%s", "word " * 10_000)
        (one,) = logs.ring.past(1)
    assert len(one.message) == MAX_LOG_CHARS


def test_threads_that_log_at_once_write_whole_lines() -> None:
    stream = Terminal()

    def talk(number: int) -> None:
        for turn in range(200):
            log.debug("thread %d turn %d", number, turn)

    with logging_to(stream) as logs:
        threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(logs.ring.past(10_000)) == 800
    assert len({json.loads(line)["message"] for line in stream.lines}) == 800


async def test_who_follows_reads_what_is_logged() -> None:
    with logging_to(Terminal()) as logs:
        log.info("before")
        with logs.ring.follow(1, logging.INFO) as reader:
            log.debug("too small")
            log.warning("after")
            async with asyncio.timeout(10):
                assert [(await anext(reader)).message for _ in range(2)] == ["before", "after"]


async def test_nothing_of_what_a_session_says_is_logged(caplog: object) -> None:
    """A host serves, fails, and is driven into defects, with every logger at its most talkative."""
    stream = Terminal()
    secret = 48_611.0
    with logging_to(stream) as logs:
        table = Table()
        await _whole_session(table, secret)
        ids = [number for message in table.alice.of(Tokens) for number in message.ids]
        assert ids, "tokens were drawn"
        await _defects(table, secret)
        await table.host.finish(0.0)
        records = logs.ring.past(10_000)
    messages = [one.message for one in records]
    assert any("a step failed" in one for one in messages), messages
    assert any("Exception in callback" in one for one in messages), messages
    assert any("Task exception was never retrieved" in one for one in messages), messages
    told = stream.getvalue() + "\n".join(messages)
    for spoken in ("48611", "heliotrope", "Forward(", "Tokens(", "bytearray", "tensor("):
        assert spoken not in told, spoken
    # Ids of tokens are small here; as a list or a tuple they would stand between brackets.
    assert not re.search(r"[(\[]\d+, ?\d*[)\]]", re.sub(r'"time": "[^"]*"', "", told))


async def _whole_session(table: Table, value: float) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0, value, count=3))
    for number in range(1, 4):
        table.say(table.alice, step(opened.session, number, number + 2, value))
    await table.until(lambda: len(table.alice.of(Tokens)) == 4)
    table.say(table.alice, Close(session=opened.session))
    table.say(table.alice, step(opened.session, 9, 9, value))
    table.say(table.alice, passing(2))


async def _defects(table: Table, value: float) -> None:
    for number, error in enumerate((RuntimeError, _Quoting, KeyError)):
        table.tail.broken = error
        opened = await table.open_tail(table.bob, 10 + number)
        table.say(table.bob, step(opened.session, 0, 0, value))
        await table.until(lambda: not [run for run in table.host.running if run.client is table.bob])
    forward = step(SessionId(b"x" * 16), 1, 48_611, value)
    loop = asyncio.get_running_loop()
    loop.call_soon(_fail, forward, [48_611, 7])
    log.warning("a step was not understood: %s %r", forward, torch.tensor([48_611]))
    log.error("a defect", exc_info=_Quoting(f"heliotrope {forward}"))
    task = asyncio.create_task(_fail_later([48_611, 7], "heliotrope"))
    await asyncio.wait([task])
    del task
    await asyncio.sleep(0)


class _Quoting(Exception):
    """Of a library that quotes what it was given."""

    def __init__(self, text: str) -> None:
        super().__init__(f"heliotrope [48611, 7]: {text}")


_Quoting.__module__ = "somebody.elses"


def _fail(*_: object) -> None:
    raise KeyError(48_611)


async def _fail_later(*_: object) -> None:
    raise _Quoting("heliotrope")
