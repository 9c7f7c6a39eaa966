"""What the command lines of `lamella-node` share: a parser with one sentence for a complaint, and numbers in bounds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, NoReturn

from node import readers, sizes
from node.status import StatusLine
from wire.errors import InvalidValue

if TYPE_CHECKING:
    from wire.contacts import Contact
    from wire.types import Address

_UNKNOWN: Final = "unrecognized arguments: "
"""How argparse begins a complaint about options that do not exist."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, told to a script as well if there is one."""

    as_json = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.refuse(f"{message}{self._meant(message)}; `{self.prog} --help` lists the options")

    def refuse(self, sentence: str) -> NoReturn:
        """Say in these words what is wrong, and end."""
        StatusLine(as_json=self.as_json).fail(sentence)
        self.exit(2)

    def _meant(self, message: str) -> str:
        """The option that an unknown one resembles."""
        if not message.startswith(_UNKNOWN):
            return ""
        import difflib

        word = message.removeprefix(_UNKNOWN).split()[0].partition("=")[0]
        close = difflib.get_close_matches(word, self._option_string_actions, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def number(text: str, low: int, high: int) -> int:
    """The number that is written in decimal digits.

    Raises:
        argparse.ArgumentTypeError: it is none, or not from `low` to `high`.
    """
    # Checked by length first: Python refuses to read numbers of thousands of digits, with an error of its own.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from {low} to {high}")
    return int(text)


def threads(text: str) -> int:
    """A number of threads. Raises `argparse.ArgumentTypeError`."""
    return number(text, 1, readers.MOST_THREADS)


def contact(text: str) -> Contact:
    """A peer and where it is. Raises `argparse.ArgumentTypeError`."""
    try:
        return readers.contact(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def network(text: str) -> str:
    """The name of a swarm. Raises `argparse.ArgumentTypeError`."""
    try:
        return readers.network(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def address(text: str) -> Address:
    """A place on the network. Raises `argparse.ArgumentTypeError`."""
    try:
        found: Address = readers.address(text)
        return found
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def size(text: str) -> int:
    """A number of bytes, as in `512M`. Raises `argparse.ArgumentTypeError`."""
    try:
        return sizes.size(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def size_or_zero(text: str) -> int:
    """A number of bytes, or none at all. Raises `argparse.ArgumentTypeError`."""
    try:
        return 0 if text == "0" else sizes.size(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error
