"""Lists too long for code, one entry a line; `{n}` and the like are slots that `others` fills."""

from __future__ import annotations

from pathlib import Path


def lines(name: str) -> tuple[str, ...]:
    """Return the entries of the file `name` of this folder, in order."""
    return tuple((Path(__file__).parent / name).read_text(encoding="utf-8").splitlines())


def whole(name: str) -> str:
    """Return the file `name` of this folder as it is."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
