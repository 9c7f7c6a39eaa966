"""Whether there is memory for a host: what is free, against what the planner counts for a process and its sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, problem, warning
from node.free_memory import PART_OF_FREE, free_memory
from node.inventory import size
from node.planning.cost import PROCESS_BYTES

_USEFUL_BYTES: Final = 1 << 30
"""For weights, below which a host has some layers of a small model."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")


async def look(
    asked_bytes: int | None,
    free: Callable[[], int] = free_memory,
    limit: Callable[[], int | None] | None = None,
) -> Finding:
    """Look at the memory.

    Args:
        asked_bytes: what the host was told it may take, or is to keep for sessions; None where it was not.
        free: bytes that are free.
        limit: bytes that are left of what this process's group may take; None where it has no bound.
    """
    there, bound = await aside(free), await aside(limit or cgroup_left)
    usable = there if bound is None else min(there, bound)
    offered = int(PART_OF_FREE * usable) if asked_bytes is None else asked_bytes
    facts = {
        "free_bytes": there,
        "cgroup_left_bytes": bound,
        "process_bytes": PROCESS_BYTES,
        "offered_bytes": offered,
    }
    shown = f"{size(usable)} free"
    if bound is not None and bound < there:
        shown += f" of what this process's group may take ({size(there)} of the machine)"
    if usable < PROCESS_BYTES:
        return problem(
            f"{shown}; a host takes {size(PROCESS_BYTES)} before it has any layers",
            "end programs that take much memory, or raise the bound of the container or service",
            **facts,
        )
    if asked_bytes is not None and asked_bytes + PROCESS_BYTES > usable:
        return warning(
            f"{shown}, and the host was told to take {size(asked_bytes)} beside {size(PROCESS_BYTES)} for its process",
            "give less --memory or --kv-memory, or serve fewer layers",
            **facts,
        )
    if offered < PROCESS_BYTES + _USEFUL_BYTES:
        return warning(
            f"{shown}, of which a host that chooses for itself takes {size(offered)}: little more than its process",
            "end programs that take much memory, or serve a few layers of a small model",
            **facts,
        )
    return ok(f"{shown}; a host that chooses for itself takes {size(offered)} at most", **facts)


def cgroup_left(own: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that are left of the tightest bound on this process's control groups (cgroup v2); None without one."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    path = next((one[3:].lstrip("/") for one in lines if one.startswith("0::")), None)
    if path is None or ".." in Path(path).parts:
        return None
    folder = cgroups / path
    left: int | None = None
    while folder != cgroups.parent:
        most, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if most is not None and used is not None:
            left = min(max(0, most - used), most if left is None else left)
        folder = folder.parent
    return left


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
