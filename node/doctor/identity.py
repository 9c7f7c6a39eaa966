"""Whether the identity is there, for this user alone, and whole. Never makes one, and tells nothing of its secret."""

from __future__ import annotations

from pathlib import Path

from node import keyfile
from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, problem
from node.errors import KeyFileError


async def look(path: Path) -> Finding:
    """Look at the identity file."""
    try:
        identity = await aside(lambda: keyfile.load(path))
    except KeyFileError as error:
        return problem(error.cause, error.next_step, path=str(path), exists=True)
    if identity is None:
        return ok(f"there is none yet; the first start makes {path}", path=str(path), exists=False)
    short = identity.peer_id.short
    return ok(
        f"{path} is whole and for this user alone; peer {short}", path=str(path), exists=True, peer=short
    )
