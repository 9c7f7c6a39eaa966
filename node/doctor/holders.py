"""Which program holds a port of this machine, as far as Linux tells: `/proc/net` has the sockets, `/proc/PID/fd` whose.

Only this user's programs can be told by name; of others it is known that there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_MOST_BYTES: Final = 4 << 20
"""Of a table of sockets; a machine with more has them looked at in part."""
_LISTENS: Final = "0A"
_UNBOUND: Final = "07"
"""How a UDP socket stands that is bound and connected to nobody."""


def holder(port: int, *, udp: bool, proc: Path = PROC) -> str | None:
    """The program at a port, as `name (process 123)`; None when this user may not know, or nobody is."""
    inodes = set(_inodes(port, udp=udp, proc=proc))
    if not inodes:
        return None
    try:
        processes = [one for one in proc.iterdir() if one.name.isdecimal()]
    except OSError:
        return None
    for process in processes:
        if _holds(process, inodes):
            return f"{_name(process)} (process {process.name})"
    return None


def _inodes(port: int, *, udp: bool, proc: Path) -> Iterator[str]:
    kind, standing = ("udp", _UNBOUND) if udp else ("tcp", _LISTENS)
    for table in (proc / "net" / kind, proc / "net" / f"{kind}6"):
        try:
            with table.open(encoding="ascii", errors="replace") as file:
                lines = file.read(_MOST_BYTES).splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == standing and fields[1].endswith(f":{port:04X}"):
                yield fields[9]


def _holds(process: Path, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(str(one.readlink()) in wanted for one in (process / "fd").iterdir())
    except OSError:
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a program"
