"""Gives memory that was freed back to the system, which the C library otherwise keeps for what may come."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache
from typing import Any


def free() -> None:
    """Free what only leads to itself, as the modules of a model do, and return it. Takes tenths of a second.

    Left to Python, that happens at some time later: after more has been made, which for weights may be never.
    """
    gc.collect()
    give_back()


def give_back() -> None:
    """Return all free memory of the process; does nothing where the C library is not glibc. Takes some milliseconds.

    Worth it after large blocks were freed in great number, as when a slice is packed; not in the middle of computing,
    where the same memory would be asked for again. Source: malloc_trim(3).
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], Any] | None:
    try:
        found: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return found
