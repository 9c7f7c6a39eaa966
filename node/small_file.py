"""Small files that are replaced whole: whoever reads one finds the old or the new, and never a part of either."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from node.paths import make_private


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in place of another that may be there, in a folder that is made if it is missing.

    Raises:
        OSError: the disk does not take it; what was there stays, and nothing else is left.
    """
    make_private(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


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
