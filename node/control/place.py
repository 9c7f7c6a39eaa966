"""The file of the control socket: in a folder where nobody else can replace it, and never two hosts'.

Who holds the lock beside the socket (flock(2), which the kernel gives back whatever ends a process) owns its path. So
of two hosts that start at once one wins, and what a killed one left is known as such. The lock's file stays: taking it
away would let a third start between the others. Before a socket is replaced it is called as well, for hosts that lost
their lock's file to a tidy-up. The new socket takes its place by a rename, at mode 0600 and listening: there is no
moment at which it is open to others, refuses, or is missing.

Rejected: a file with a process id, which another process may have by now.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import paths
from node.control.errors import HostIsRunning, PlaceUnsafe, PlaceUnusable
from node.control.limits import MAX_CLIENTS

NAME: Final = "control.sock"
_MAX_PATH_BYTES: Final = 100
"""The system takes 107 bytes (macOS 103), which the name of the new socket has to fit too."""
_NEW: Final = ".new"
_LOCK: Final = ".lock"
_PRIVATE: Final = 0o600
_WRITABLE_BY_OTHERS: Final = 0o022


@dataclass(frozen=True, slots=True)
class Claim:
    """A listening socket, and the right to it."""

    path: Path
    listener: socket.socket
    lock: int
    """Descriptor of the locked file."""
    inode: int

    def release(self) -> None:
        """Take the socket's file away, if it is still ours, and let another host have the place."""
        self.listener.close()
        try:
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()
        except OSError:
            # Gone, or not to be removed: the next host finds nobody behind it and replaces it.
            pass
        finally:
            os.close(self.lock)


def default_path() -> Path:
    """Where a host's socket is when nobody says otherwise. Raises `NoHomeDirectory`."""
    return paths.runtime_dir() / NAME


def claim(path: Path) -> Claim:
    """Listen at `path`, in place of what a host that is no more has left there.

    Only a few calls of the system, so the event loop may make them.

    Raises:
        HostIsRunning: a host listens there, or is about to.
        PlaceUnsafe: another user could replace the socket, or what is there is no socket.
        PlaceUnusable: the path is too long, or the disk does not take it.
    """
    if len(os.fsencode(path)) + len(_NEW) > _MAX_PATH_BYTES:
        raise PlaceUnusable(
            f"the path {path} is too long for a socket", "set XDG_RUNTIME_DIR to a folder with a short path"
        )
    lock = None
    try:
        paths.make_private(path.parent)
        _check_folder(path.parent)
        lock = _locked(path)
        _check_left_over(path)
        made = _listening(path)
    except OSError as error:
        _let_go(lock)
        raise PlaceUnusable(
            f"the control socket {path} cannot be made ({os.strerror(error.errno or 0)})",
            "get write access there, or choose another folder by XDG_RUNTIME_DIR",
        ) from error
    except (HostIsRunning, PlaceUnsafe):
        _let_go(lock)
        raise
    return Claim(path, made, lock, path.lstat().st_ino)


def _let_go(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which another user could replace things, or that another user could replace."""
    if folder.is_symlink():
        raise PlaceUnsafe(f"{folder} is a symbolic link", "name the folder it leads to")
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
        raise PlaceUnsafe(
            f"other users can replace files in {folder}, where the control socket belongs",
            f"run `chmod 700 {folder}` as its owner, or set XDG_RUNTIME_DIR to a folder of this user alone",
        )
    owners = paths.trusted_owners()
    for above in folder.resolve().parents:
        status = above.stat()
        # In a folder like /tmp anyone can write, but only owners can rename.
        open_to_others = status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & stat.S_ISVTX
        if open_to_others or status.st_uid not in owners:
            raise PlaceUnsafe(
                f"other users can replace {above}, above the control socket",
                "set XDG_RUNTIME_DIR to a folder of this user alone",
            )


def _locked(path: Path) -> int:
    """Open and lock the file beside the socket. Raises `HostIsRunning`, `PlaceUnsafe` or `OSError`."""
    name = path.with_name(path.name + _LOCK)
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PlaceUnsafe(f"{name} is not a plain file", "move it away")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise _running(path) from error
    except (OSError, PlaceUnsafe):
        os.close(descriptor)
        raise
    return descriptor


def _check_left_over(path: Path) -> None:
    """Refuse to replace what is not a socket, or answers. Raises `HostIsRunning`, `PlaceUnsafe` or `OSError`."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise PlaceUnsafe(f"{path} is not a socket", "move it away, or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        failure = probe.connect_ex(str(path))
    # EAGAIN: its queue of callers is full, so somebody holds it.
    if failure in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise _running(path)


def _listening(path: Path) -> socket.socket:
    """A socket that listens at `path`, from its first moment for this user alone. Raises `OSError`."""
    new = path.with_name(path.name + _NEW)
    new.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.bind(str(new))
        new.chmod(_PRIVATE)
        made.listen(MAX_CLIENTS)
        new.replace(path)
    except OSError:
        made.close()
        new.unlink(missing_ok=True)
        raise
    return made


def _running(path: Path) -> HostIsRunning:
    return HostIsRunning(
        f"another host of this user runs: it holds the control socket {path}",
        "look at it with `lamella-node ctl status`, or give this one a socket of its own",
    )
