"""What is told of a log record never holds a prompt, a token or a key, and never more than one line."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import Identity
from node.errors import NodeError
from node.sight.records import Stamps, about, cleaned, said, told
from tests.fakes.serving import opening, step
from wire.codes import Code
from wire.types import Address, LayerRange, SessionId

IDS = (48_611, 50_021)
SEED = bytes(range(32))
PEER = Identity.from_seed(SEED)
SESSION = SessionId(b"s" * 16)


def record(message: object, *args: Any, name: str = "node.test", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def message(message: object, *args: Any, **extra: Any) -> str:
    return told(record(message, *args, **extra), at=0.0).message


class LibraryError(Exception):
    """Of a library, whose words may quote what it was given."""


LibraryError.__module__ = "somebody.elses"


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_words_numbers_and_texts_for_people_are_shown() -> None:
    shown = message(
        "%s took %d of %.1f on %s, %s %s for %s",
        SESSION,
        3,
        4.5,
        Address("127.0.0.1", 7311),
        LayerRange(0, 4),
        Code.NO_MEMORY.text,
        Path("/models/x"),
    )
    assert shown == f"{SESSION} took 3 of 4.5 on 127.0.0.1:7311, 0:4 {Code.NO_MEMORY.text} for /models/x"


@pytest.mark.parametrize(
    "value",
    [
        list(IDS),
        IDS,
        {IDS[0]: "heliotrope"},
        set(IDS),
        torch.tensor(IDS),
        b"heliotrope",
        bytearray(b"heliotrope"),
        memoryview(b"heliotrope"),
        step(SESSION, IDS[0], IDS[1]),
        opening(1),
        (one for one in IDS),
        LibraryError(f"cannot tokenize 'heliotrope' {IDS}"),
        KeyError(IDS[0]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("template", ["%s", "%r", "step of %s failed"])
def test_what_may_hold_tokens_or_keys_is_named_by_its_type(value: object, template: str) -> None:
    shown = message(template, value)
    assert type(value).__name__ in shown
    assert "heliotrope" not in shown
    assert not [number for number in IDS if str(number) in shown]


def test_values_named_by_words_are_held_back_too() -> None:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, "%(a)s %(b)s", ({"a": [1, 2], "b": "b"},), None)
    assert told(made, at=0.0).message == "<list> b"


def test_a_message_whose_values_do_not_fit_harms_nothing() -> None:
    assert message("%d of %d", "x", 1) == "%d of %d (its values do not fit)"
    assert message("%s", 1, 2) == "%s (its values do not fit)"
    assert message("100 % sure") == "100 % sure"


def test_our_errors_are_told_in_their_words_and_others_by_their_type_and_way() -> None:
    assert said(NodeError("the disk is full", "delete a model")) == "the disk is full; delete a model"
    foreign = said(raised(LibraryError("heliotrope")))
    assert foreign.startswith("LibraryError [tests/node/sight/test_records.py:")
    assert "raised" in foreign
    assert "heliotrope" not in foreign
    assert said(OSError(28, "No space left on device")) == "OSError: No space left on device"


def test_causes_are_told_and_so_many_at_the_most() -> None:
    error: BaseException = LibraryError("heliotrope")
    for number in range(10):
        outer = NodeError(f"cause {number}", "wait")
        outer.__cause__ = error
        error = outer
    assert said(error).split("; caused by ") == ["cause 9; wait", "cause 8; wait", "cause 7; wait"]


def test_groups_tell_of_their_first_errors_and_errors_in_a_circle_end() -> None:
    group = ExceptionGroup("heliotrope", [LibraryError("heliotrope") for _ in range(100)])
    assert said(group) == "ExceptionGroup of 100: LibraryError, LibraryError, LibraryError"
    one, other = LibraryError(), LibraryError()
    one.__cause__, other.__cause__ = other, one
    assert said(one).count("LibraryError") == 3


def test_a_record_with_an_exception_tells_it_in_the_same_line() -> None:
    made = record("session %s: a step failed", SESSION)
    error = raised(KeyError(IDS[0]))
    made.exc_info = (type(error), error, error.__traceback__)
    shown = told(made, at=0.0).message
    assert shown.startswith(f"session {SESSION}: a step failed: KeyError [tests/node/sight/test_records.py:")
    assert str(IDS[0]) not in shown
    assert "\n" not in shown


async def test_what_asyncio_quotes_of_a_callback_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def fail(forward: object) -> None:
        raise KeyError(IDS[0])

    loop = asyncio.get_running_loop()
    loop.call_soon(fail, step(SESSION, 1, 1, float(IDS[0]))).cancel()
    loop.call_soon(fail, list(IDS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (made,) = [one for one in caplog.records if one.name == "asyncio"]
    assert str(IDS[0]) in made.getMessage(), "asyncio does quote them"
    shown = told(made, at=0.0).message
    assert shown.startswith("Exception in callback test_what_asyncio_quotes")
    assert str(IDS[0]) not in shown
    assert "KeyError" in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("token hf_AbCdEfGhIjKlMnOpQrStUvWx refused", "hf_AbCd"),
        ("Authorization: Bearer abc.def.ghi", "abc.def"),
        ("Authorization: Lamella-Ed25519 qwertyuiop", "qwertyuiop"),
        ("get https://u:pass@host.example/x", "pass"),
        ("https://cdn.example/f?X-Amz-Signature=abcdef&x=1", "abcdef"),
        ("https://cdn.example/f?x=1&Key-Pair-Id=KKKK", "KKKK"),
        ("https://cdn.example/f?x=1&Policy=eyJT", "eyJT"),
        (f"seed {SEED.hex()}", SEED.hex()[12:]),
        (f"seed {SEED.hex().upper()}.", SEED.hex().upper()[12:]),
        ("key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAECAw"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END", "b3BlbnNz"),
    ],
)
def test_what_looks_like_a_credential_or_a_key_is_cut_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in cleaned(text)
    assert secret not in message("%s", text)
    assert text.startswith("-----") or cleaned(text)[:3] == text[:3], "the rest stays"


def test_names_that_everybody_may_know_stay() -> None:
    for text in (str(PEER.peer_id), "hf:org/name@main", "https://hub.example/a?x=1", "/home/x/models/y"):
        assert cleaned(text) == text


@given(st.text(max_size=300), st.integers(1, 100))
def test_whatever_a_peer_wrote_is_one_short_printable_line(text: str, most: int) -> None:
    shown = cleaned(text, max_chars=most)
    assert len(shown) <= most
    assert shown.isprintable()


def test_a_peer_cannot_begin_a_line_or_command_a_terminal() -> None:
    assert cleaned("a\nb\r\x1b[2J\u202e\u2028c") == "a\\nb\\r\\x1b[2J\\u202e\\u2028c"


@pytest.mark.parametrize(
    "unit", ["?key", "key", "&token", "://", "a" * 11, "Bearer ", "-----BEGIN ", "=", "f"]
)
def test_no_text_takes_long(unit: str) -> None:
    began = time.process_time()
    cleaned(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 0.2


def test_a_long_message_is_cut() -> None:
    assert len(message("%s", "word " * 100_000)) == 4096
    assert told(record("x" * 50), at=0.0, max_chars=10).message == "x" * 9 + "…"


async def test_the_session_is_named_by_the_record_or_by_what_it_happens_within() -> None:
    async def later() -> str | None:
        return told(record("x"), at=0.0).session

    assert told(record("x"), at=0.0).session is None
    with about(SESSION):
        task = asyncio.create_task(later())
        assert told(record("x"), at=0.0).session == str(SESSION)
        assert told(record("x", session="other\n" * 10), at=0.0).session == "other\\nothe…"
    assert told(record("x"), at=0.0).session is None
    assert await task == str(SESSION)


def test_times_do_not_go_back_unless_the_clock_was_set_back_far() -> None:
    times = iter([100.0, 101.0, 99.0, 100.5, 102.0, 50.0, 51.0])
    stamps = Stamps(lambda: next(times))
    assert [stamps.next() for _ in range(7)] == [100.0, 101.0, 101.0, 101.0, 102.0, 50.0, 51.0]


def test_levels_between_the_known_ones_are_told_as_the_lesser() -> None:
    levels = {
        5: "debug",
        10: "debug",
        20: "info",
        25: "info",
        30: "warning",
        40: "error",
        50: "critical",
        60: "critical",
    }
    for number, level in levels.items():
        made = record("x")
        made.levelno = number
        assert told(made, at=0.0).level == level
