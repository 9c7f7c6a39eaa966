"""Calm words on a terminal, and the same words without colour or movement in a pipe or a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Final, TextIO

MARGIN: Final = "  "
LABEL_CHARS: Final = 13
_CLEAR_LINE: Final = "\r\x1b[K"


class Screen:
    """Writes to one stream. A reader that goes away (`| head`, a closed terminal) raises `BrokenPipeError` once;
    from then on nothing is written, so that what stops the hosts can still speak.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._moves = out.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._moves and not os.environ.get("NO_COLOR")
        self._passing = False
        self._gone = False

    def say(self, text: str = "") -> None:
        """Write a line that stays."""
        self._write(self._clear() + (MARGIN + text if text else "") + "\n")

    def passing(self, text: str) -> None:
        """Show what is being waited for, on a terminal only, until something else is written."""
        if self._moves:
            width = shutil.get_terminal_size().columns - len(MARGIN) - 1
            self._write(self._clear() + MARGIN + self.faint(text[: max(0, width)]))
            self._passing = True

    def begin(self, label: str) -> None:
        """Begin a line that `add` goes on with."""
        self._write(f"{self._clear()}{MARGIN}{self.label(label)}")

    def add(self, text: str) -> None:
        """Go on with the line; whatever could steer a terminal is left out."""
        self._write(
            "".join(c for c in text if c.isprintable() or c == "\n").replace(
                "\n", f"\n{MARGIN}{' ' * LABEL_CHARS}"
            )
        )

    def end(self) -> None:
        """End the line that `begin` began."""
        self._write("\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> None:
        """Write columns, the first `left` of them aligned to the left and the others to the right."""
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

        def line(row: Sequence[str]) -> str:
            cells = [
                cell.ljust(width) if column < left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        self.say(self.faint(line(head)))
        for row in rows:
            self.say(line(row))

    def label(self, text: str) -> str:
        """The word at the beginning of a line, in a column of its own."""
        return self.faint(text.ljust(LABEL_CHARS))

    def strong(self, text: str) -> str:
        """Words that matter."""
        return self._styled("1", text)

    def faint(self, text: str) -> str:
        """Words beside those that matter."""
        return self._styled("2", text)

    def good(self, text: str) -> str:
        """Words of success."""
        return self._styled("32", text)

    def bad(self, text: str) -> str:
        """Words of failure."""
        return self._styled("31", text)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _clear(self) -> str:
        passing, self._passing = self._passing, False
        return _CLEAR_LINE if passing else ""

    def _write(self, text: str) -> None:
        if self._gone:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            self._gone = True
            raise BrokenPipeError("nobody reads what is written") from error
