"""Whether what a host is told by its file and the environment can be used; read by whoever knows the settings."""

from __future__ import annotations

from node.doctor.finding import Finding, ok, problem
from node.errors import NodeError


async def look(said: str, trouble: NodeError | None) -> Finding:
    """Tell what configures a host, or why it would not start with that."""
    return ok(said) if trouble is None else problem(trouble.cause, trouble.next_step)
