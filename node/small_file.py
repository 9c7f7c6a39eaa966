"""Small files that are replaced whole: whoever reads one finds the old or the new, and never a part of either."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from node.paths import make_private


def replace_file(path: Path, data: bytes, *, lasting: bool = False) -> None:
    """Put a file in place of another that may be there, in a folder that is made if it is missing.

    Args:
        lasting: whether it is to be on the disk before this returns, so that losing power does not lose it. That costs
            milliseconds, and on a busy disk more.

    Raises:
        OSError: the disk does not take it; what was there stays, and nothing else is left. Only when it fails at the
            very last, to say that a lasting file is in place for good, it may be there or not.
    """
    made = [path.parent, *(one.parent for one in path.parents if not one.exists())]
    make_private(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    if lasting:
        for folder in made:
            _flush_folder(folder)


def remember(path: Path, data: bytes) -> bool:
    """Replace a file that only saves time; whether the disk took it."""
    try:
        replace_file(path, data)
    except OSError:
        return False
    return True


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one when the file is missing, too long, or not one."""
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        raw: Any = json.loads(data) if len(data) <= most_bytes else None
    except (OSError, ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; a file's own flush does not say that (`fsync(2)`)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
