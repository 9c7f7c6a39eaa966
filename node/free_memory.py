"""How much memory a process could take on this machine with nobody giving any up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.errors import NodeError

PART_OF_FREE: Final = 0.75
"""Of the memory that is free; the rest is for whoever uses this machine, and for what the system keeps of files."""
_MEMORY_FILE: Final = Path("/proc/meminfo")


class Unmeasured(NodeError):
    """It cannot be found out how much memory is free."""


def free_memory(file: Path = _MEMORY_FILE) -> int:
    """Bytes that a process could take with nobody giving any up (`MemAvailable`, Linux). Raises `Unmeasured`."""
    try:
        for line in file.read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError) as error:
        raise _unmeasured(file) from error
    raise _unmeasured(file)


def _unmeasured(file: Path) -> Unmeasured:
    return Unmeasured(
        f"{file} does not say how much memory is free", "say how much this host may take, with --memory"
    )
