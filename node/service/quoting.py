"""How a word is written in a unit file so that systemd reads just that word (systemd.syntax(7), systemd.service(5)).

There are two rules, for systemd has two: words of a command or of `Environment=` are unquoted and C-unescaped; those
of `ReadWritePaths=` and the like are unquoted only. In both, `%` begins a specifier, after unquoting. `$` needs no
spelling of its own, since commands are written with the prefix `:`, which turns variables off (the program's own path
could not have one: systemd expands it in `argv[0]`, and not in the path).
"""

from __future__ import annotations

from typing import Final

from node.service.errors import UnwritableWord

_BARE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=:,@+-")
"""Characters that mean themselves everywhere in a word, so that most words can be read as they were typed."""
MAX_WORD_CHARS: Final = 32_768
"""Systemd reads lines of up to 1 MiB; far fewer bytes than this are meant by any word."""


def word(text: str) -> str:
    """Spell one word of a command or of `Environment=`.

    Raises:
        UnwritableWord: it is not text, has a NUL or what is no character, or is too long.
    """
    _check(text)
    if text and _BARE.issuperset(text):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def path_word(text: str) -> str:
    """Spell one word of a list of paths, in which a backslash means itself.

    Raises:
        UnwritableWord: it has characters that such a list cannot hold, line breaks among them.
    """
    _check(text)
    if not text.isprintable():
        raise _unwritable(text)
    doubled = text.replace("%", "%%")
    if doubled and _BARE.issuperset(text):
        return doubled
    # A quotation mark can only stand within the other kind; pieces of both kinds in a row are one word.
    return "'\"'".join(f'"{piece}"' for piece in doubled.split('"'))


def line(text: str) -> str:
    """Spell a value that is the whole rest of a line, as of `WorkingDirectory=`.

    Raises:
        UnwritableWord: it begins or ends with white space, ends with a backslash, or holds what a line cannot.
    """
    _check(text)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise _unwritable(text)
    return text.replace("%", "%%")


def _escaped(character: str) -> str:
    if character == "%":
        return "%%"
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _check(text: str) -> None:
    if len(text) > MAX_WORD_CHARS or "\0" in text or any(_is_no_character(one) for one in text):
        raise _unwritable(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unwritable(text) from error


def _is_no_character(one: str) -> bool:
    """Whether Unicode keeps this code point out of texts: a unit with one starts, and then cannot be looked at."""
    point = ord(one)
    return point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF


def _unwritable(text: str) -> UnwritableWord:
    return UnwritableWord(
        f"{text[:60]!a} cannot be written in a unit of systemd",
        "use a name of letters and digits for it",
    )
