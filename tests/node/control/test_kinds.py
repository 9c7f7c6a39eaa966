"""What fits an argument, and what does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control.arguments import LogLevel
from node.control.errors import Unfit
from node.control.kinds import (
    AnyText,
    Flag,
    Kind,
    Layers,
    Maybe,
    Number,
    Numbers,
    OneOf,
    Several,
    Text,
    Whole,
    shown,
)
from wire.types import LayerRange

FITS: list[tuple[Kind, object, object]] = [
    (Text(3), "é 1", "é 1"),
    (AnyText(), "\x1b", "\x1b"),
    (Whole(0, 5), 5, 5),
    (Number(0, 1), 1, 1.0),
    (Flag(), False, False),
    (OneOf(LogLevel), "error", LogLevel.ERROR),
    (Layers(), "6:12", LayerRange(6, 12)),
    (Maybe(Whole()), None, None),
    (Maybe(Whole()), 3, 3),
    (Several(Whole()), [1, 2], (1, 2)),
    (Numbers(), {"a": 1, "b": 0.5}, {"a": 1.0, "b": 0.5}),
]
UNFIT: list[tuple[Kind, object]] = [
    (Text(3), ""),
    (Text(3), "four"),
    (Text(3), "a\n"),
    (Text(3), "\ud800"),
    (Text(3), 3),
    (Whole(0, 5), 6),
    (Whole(0, 5), -1),
    (Whole(0, 5), True),
    (Whole(0, 5), 1.0),
    (Whole(), 1 << 53),
    (Number(), math.inf),
    (Number(), math.nan),
    (Number(), 10**400),
    (Number(0, 1), 1.5),
    (Number(), False),
    (Flag(), 1),
    (OneOf(LogLevel), "grave"),
    (OneOf(LogLevel), 1),
    (Layers(), "6:6"),
    (Layers(), "12:6"),
    (Layers(), "6"),
    (Layers(), "1" * 5000),
    (Maybe(Whole()), "x"),
    (Several(Whole()), [1, None]),
    (Several(Whole()), "12"),
    (Numbers(), {"a": None}),
    (Numbers(), []),
]
KINDS = st.sampled_from([kind for kind, _, _ in FITS])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("kind", "raw", "value"), FITS)
def test_what_fits_is_read_and_written_back(kind: Kind, raw: object, value: object) -> None:
    assert kind.read(raw) == value
    assert kind.plain(value) == raw


@pytest.mark.parametrize(("kind", "raw"), UNFIT)
def test_what_does_not_fit_is_refused_with_what_would(kind: Kind, raw: object) -> None:
    with pytest.raises(Unfit) as refused:
        kind.read(raw)
    assert refused.value.next_step.startswith("give ")


@given(kind=KINDS, raw=JSON)
def test_any_json_fits_or_is_refused_in_printable_words(kind: Kind, raw: object) -> None:
    try:
        value = kind.read(raw)
    except Unfit as error:
        assert error.cause.isprintable() and error.cause.isascii() and len(error.cause) < 500
    else:
        assert kind.read(kind.plain(value)) == value


@given(kind=KINDS, text=st.text())
def test_any_word_of_a_command_line_fits_or_is_refused(kind: Kind, text: str) -> None:
    try:
        kind.read(kind.typed(text))
    except Unfit as error:
        assert error.next_step


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(Whole(), "12", 12), (Number(), "1.5", 1.5), (Maybe(Layers()), "0:2", LayerRange(0, 2))],
)
def test_a_word_is_read_as_its_kind(kind: Kind, text: str, value: object) -> None:
    assert kind.read(kind.typed(text)) == value


@pytest.mark.parametrize(
    ("raw", "words"),
    [("x" * 99, "'" + "x" * 40 + "...'"), ("\x1b[2J", r"'\x1b[2J'"), (None, "null"), (True, "true"), ([], "an array")],
)  # fmt: skip
def test_what_a_stranger_sent_is_shown_short_and_harmless(raw: object, words: str) -> None:
    assert shown(raw) == words
