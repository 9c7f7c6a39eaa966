"""Bytes into lines, lines into JSON objects and back. Nothing that comes in raises but `BadRequest`."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from node.control.codes import ErrorCode
from node.control.errors import BadRequest

NEWLINE: Final = b"\n"


class LineSplitter:
    """Cuts a stream at its newlines; holds at most one line that is not whole yet."""

    def __init__(self, most_bytes: int) -> None:
        """Begin a stream.

        Args:
            most_bytes: the longest line, its newline included.
        """
        self._most = most_bytes
        self._held = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Take what came; return the lines that are whole now, without newlines, and None for each that is too long."""
        lines: list[bytes | None] = []
        *ended, rest = data.split(NEWLINE)
        for part in ended:
            lines += self._line(part)
            self._skipping = False
        self._keep(rest, lines)
        return lines

    def _line(self, part: bytes) -> list[bytes | None]:
        if self._skipping:
            return []
        whole = bytes(self._held) + part
        self._held.clear()
        return [whole if len(whole) < self._most else None]

    def _keep(self, rest: bytes, lines: list[bytes | None]) -> None:
        if self._skipping:
            return
        if len(self._held) + len(rest) >= self._most:
            self._held.clear()
            self._skipping = True
            lines.append(None)
        else:
            self._held += rest


def load(line: bytes) -> dict[str, Any]:
    """The JSON object in a line: RFC 8259, in UTF-8, no name twice.

    Raises:
        BadRequest: it is none, with the code `malformed`.
    """
    try:
        raw = json.loads(
            line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise malformed("the line is not JSON") from error
    if not isinstance(raw, dict):
        raise malformed("the line is not an object")
    return raw


def dump(raw: dict[str, Any]) -> bytes:
    """A line of ASCII, newline included.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is not one of JSON's.
    """
    return json.dumps(raw, allow_nan=False, separators=(",", ":")).encode("ascii") + NEWLINE


def malformed(cause: str, *, id: int | None = None) -> BadRequest:  # noqa: A002 - as the field of the line is called
    """The error of a line that is no request."""
    step = 'send one object a line: {"v":1,"id":1,"command":"status"}'
    return BadRequest(ErrorCode.MALFORMED, cause, step, id=id)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too great")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
