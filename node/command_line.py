"""What the command lines of `lamella-node` share: a parser with one sentence for a complaint, and numbers in bounds."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from node import sizes
from node.discovery.bootstrap import bootstrap_key
from node.discovery.errors import DiscoveryError
from node.status import StatusLine
from wire import limits
from wire.contacts import Contact
from wire.errors import InvalidValue
from wire.types import Address

MOST_THREADS: Final = 256


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, told to a script as well if there is one."""

    as_json = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        StatusLine(as_json=self.as_json).fail(f"{message}; `{self.prog} --help` lists the options")
        self.exit(2)


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
    return number(text, 1, MOST_THREADS)


def address(text: str) -> Address:
    """A place on the network. Raises `argparse.ArgumentTypeError`."""
    try:
        return Address.parse(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def contact(text: str) -> Contact:
    """A peer and where it is. Raises `argparse.ArgumentTypeError`."""
    try:
        return Contact.parse(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def signer(text: str) -> bytes:
    """Whose bootstrap list is believed. Raises `argparse.ArgumentTypeError`."""
    try:
        return bootstrap_key(text)
    except DiscoveryError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def network(text: str) -> str:
    """The name of a swarm. Raises `argparse.ArgumentTypeError`."""
    if not text or len(text) > limits.MAX_AGENT_CHARS or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"a network name is 1 to {limits.MAX_AGENT_CHARS} printable characters"
        )
    return text


def size(text: str) -> int:
    """A number of bytes, as in `512M`. Raises `argparse.ArgumentTypeError`."""
    try:
        return sizes.size(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def size_or_zero(text: str) -> int:
    """A number of bytes, or none at all. Raises `argparse.ArgumentTypeError`."""
    return 0 if text == "0" else size(text)
