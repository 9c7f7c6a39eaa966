"""The one form of `Range` that is understood: a single stretch of bytes (RFC 9110 §14.1.2).

As §14.2 allows, anything else is as if it had not been sent: other units, several ranges, what is not in the grammar.
"""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range has no byte of what it is asked of: 416, and its size is told."""


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """Return `(start, end)` with `start < end <= size`; None when all of it is to be sent. Raises `Unsatisfiable`."""
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end
