"""Where Lamella keeps its files: the XDG base directories, each with `lamella/` below.

The functions that name a directory do not make it; whoever writes calls `make_private` first. As the XDG Base
Directory Specification asks, a variable that is empty or not an absolute path is ignored.
"""

from __future__ import annotations

import os
from pathlib import Path

from node.errors import NoHomeDirectory

_NAME = "lamella"
_USERS_KNOWN = Path("/proc/self/uid_map")
_UNKNOWN_USER = Path("/proc/sys/kernel/overflowuid")


def data_dir() -> Path:
    """Return the directory of what must last: the identity, models."""
    return _base("XDG_DATA_HOME", ".local/share") / _NAME


def weights_dir() -> Path:
    """Return the directory of the weights that were fetched: the store that all processes of this user share."""
    return data_dir() / "weights"


def cache_dir() -> Path:
    """Return the directory of what can be fetched or computed again."""
    return _base("XDG_CACHE_HOME", ".cache") / _NAME


def config_dir() -> Path:
    """Return the directory of what the person writes."""
    return _base("XDG_CONFIG_HOME", ".config") / _NAME


def runtime_dir() -> Path:
    """Return the directory of sockets and locks of running processes.

    Without `XDG_RUNTIME_DIR` (no login session, containers) this is `run/` in the cache directory: below the home,
    where nobody else can put something in its place as they could in the shared temporary directory.
    """
    base = _absolute("XDG_RUNTIME_DIR")
    return cache_dir() / "run" if base is None else base / _NAME


def identity_file() -> Path:
    """Return the file of the identity that `lamella` and `lamella-node` share."""
    return data_dir() / "identity"


def intents_file(peer_id: str) -> Path:
    """Return the file of what was asked of the host of this identity.

    It is found by who the host is and not beside the identity's own file, which may lie where a confined service
    cannot write.
    """
    return data_dir() / "intents" / f"{peer_id}.json"


def make_private(directory: Path) -> None:
    """Make the missing directories down to `directory`, each for this user alone (0700, as XDG asks).

    Leaves those that exist as they are. Raises `OSError`.
    """
    missing = [ancestor for ancestor in (directory, *directory.parents) if not ancestor.exists()]
    for ancestor in reversed(missing):
        ancestor.mkdir(mode=0o700, exist_ok=True)


def trusted_owners() -> frozenset[int]:
    """Return the users in whose folders what is ours is safe: this one, and root.

    A service that is confined runs in a user namespace that knows this user alone. In there everybody else's folders,
    root's too, belong to one number that stands for all it does not know (user_namespaces(7)), so that one is among
    them there: otherwise `/` itself would be a stranger's. Whether others may write to a folder is seen there as
    anywhere.
    """
    owners = {os.geteuid(), 0}
    try:
        ranges = [tuple(map(int, line.split())) for line in _USERS_KNOWN.read_text().splitlines()]
        unknown = int(_UNKNOWN_USER.read_text())
    except (OSError, ValueError):
        return frozenset(owners)
    knows_root = any(first == 0 for first, _outside, _count in ranges)
    return frozenset(owners if knows_root else {*owners, unknown})


def _base(variable: str, below_home: str) -> Path:
    """Return the directory the variable names, or the specification's default below the home directory."""
    base = _absolute(variable)
    if base is not None:
        return base
    try:
        home = Path.home()
    except RuntimeError as error:
        raise _no_home(variable) from error
    if not home.is_absolute():
        raise _no_home(variable)
    return home / below_home


def _absolute(variable: str) -> Path | None:
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _no_home(variable: str) -> NoHomeDirectory:
    return NoHomeDirectory("this user has no home directory", f"set HOME or {variable} to an absolute path")
