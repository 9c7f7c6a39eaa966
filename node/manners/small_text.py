"""Reads the small files in which a kernel says how things are. Whatever is wrong with one, it says nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_BLOCKS: Final = 0x10000
"""Read at once; more calls follow for a longer file."""


def read_small(path: Path, most_bytes: int = 4096) -> str:
    """Return the beginning of a file, or nothing when it cannot be read. Never waits for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    data = b""
    try:
        while len(data) < most_bytes and (part := os.read(handle, min(_BLOCKS, most_bytes - len(data)))):
            data += part
    except OSError:
        return ""
    finally:
        os.close(handle)
    return data.decode("ascii", errors="replace").strip()


def read_number(path: Path) -> int | None:
    """Return the whole number a file holds and nothing else, or None."""
    text = read_small(path, 64)
    return int(text) if text.isascii() and text.isdigit() else None
