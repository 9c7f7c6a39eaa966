"""Words of a unit file: what is written is what systemd reads, by its own rules, for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.service import quoting
from node.service.errors import UnwritableWord

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0").filter(
        lambda one: ord(one) & 0xFFFE != 0xFFFE and not 0xFDD0 <= ord(one) <= 0xFDEF
    ),
    max_size=40,
)
ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32}


def unquoted(line: str, *, escapes: bool) -> list[str]:
    """The words of a line as `extract_first_word()` of systemd finds them, specifiers resolved after."""
    words: list[bytes] = []
    current: bytearray | None = None
    quote = ""
    at = 0
    while at < len(line):
        one = line[at]
        at += 1
        if escapes and one == "\\":
            current = bytearray() if current is None else current
            if line[at] == "x":
                current.append(int(line[at + 1 : at + 3], 16))
                at += 3
            else:
                current.append(ESCAPES[line[at]])
                at += 1
        elif quote:
            if one == quote:
                quote = ""
            else:
                current = (current or bytearray()) + one.encode()
        elif one in "'\"":
            quote, current = one, bytearray() if current is None else current
        elif one in " \t\n\r":
            if current is not None:
                words.append(bytes(current))
            current = None
        else:
            current = (current or bytearray()) + one.encode()
    assert not quote
    if current is not None:
        words.append(bytes(current))
    return [resolved(word.decode()) for word in words]


def resolved(word: str) -> str:
    """The word with its specifiers, of which `%%` alone is expected."""
    pieces = word.split("%%")
    assert not any("%" in piece for piece in pieces)
    return "%".join(pieces)


@given(st.lists(TEXTS, max_size=5))
def test_words_of_a_command_are_read_back_as_they_were(words: list[str]) -> None:
    written = " ".join(map(quoting.word, words))
    assert "\n" not in written
    assert not written.endswith("\\")
    assert unquoted(written, escapes=True) == words


@given(st.lists(TEXTS.filter(str.isprintable), max_size=5))
def test_paths_are_read_back_as_they_were(paths: list[str]) -> None:
    assert unquoted(" ".join(map(quoting.path_word, paths)), escapes=False) == paths


def test_plain_words_are_left_plain() -> None:
    assert quoting.word("--listen=192.0.2.10:7311") == "--listen=192.0.2.10:7311"
    assert quoting.path_word("/home/a/.cache") == "/home/a/.cache"


@pytest.mark.parametrize("text", ["a\0b", "\udcff", "x" * 40_000, "\ufffe", "\U0010ffff", "\ufdd0"])
def test_what_has_no_spelling_is_refused(text: str) -> None:
    for spell in (quoting.word, quoting.path_word, quoting.line):
        with pytest.raises(UnwritableWord, match="cannot be written in a unit"):
            spell(text)


@pytest.mark.parametrize("text", [" /a", "/a ", "/a\\", "/a\nExecStart=/bin/sh"])
def test_the_rest_of_a_line_holds_no_second_line(text: str) -> None:
    with pytest.raises(UnwritableWord):
        quoting.line(text)


def test_a_path_holds_no_line_break() -> None:
    with pytest.raises(UnwritableWord):
        quoting.path_word("/a\nExecStart=/bin/sh")


def test_a_percent_sign_in_the_rest_of_a_line_is_itself() -> None:
    assert quoting.line("/a %h") == "/a %%h"
