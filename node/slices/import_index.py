"""What transformers finds out about its own files, kept between starts.

To know which class is in which of its 2,500 files about models it reads all of them, which is a fifth of the time that
a client takes to import what it needs. What it found belongs to these files: it is kept with their folder, the time of
that folder's last change and the library's version, and anything that does not fit is found out anew.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from node import paths
from node.errors import NodeError
from node.small_file import read_object, remember

_MAX_BYTES: Final = 4 << 20
"""Four times what it takes."""


def load(folder: Path) -> dict[Any, Any] | None:
    """What was found below a folder, if it is known and still holds."""
    file = _file()
    if file is None:
        return None
    kept = read_object(file, _MAX_BYTES)
    if kept.get("of") != _stamp(folder):
        return None
    try:
        return _structure(kept["found"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def keep(folder: Path, found: dict[Any, Any]) -> None:
    """Keep what was found. Where that cannot be done it is found out again the next time."""
    file = _file()
    if file is not None:
        remember(file, json.dumps({"of": _stamp(folder), "found": _plain(found)}).encode())


def _file() -> Path | None:
    try:
        return paths.cache_dir() / "transformers-index.json"
    except NodeError:
        return None


def _stamp(folder: Path) -> list[Any] | None:
    try:
        return [str(folder), folder.stat().st_mtime_ns, version("transformers")]
    except (OSError, PackageNotFoundError):
        return None


def _plain(found: Any) -> Any:
    """As JSON can write it: a folder as pairs, since its keys are names or sets of them; a set of names as a list."""
    if isinstance(found, dict):
        return {"": [[_plain(key), _plain(value)] for key, value in found.items()]}
    return sorted(found) if isinstance(found, set | frozenset) else found


def _structure(plain: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in plain[""]:
        name = frozenset(map(_name, key)) if isinstance(key, list) else _name(key)
        found[name] = _structure(value) if isinstance(value, dict) else set(map(_name, value))
    return found


def _name(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError("a name is text")
    return text
