"""The file that holds this peer's identity: made once, read at every start, for nobody else's eyes.

One line of text, `lamella-identity-1 SEED`, the seed being 32 bytes in lower-case base32 without padding. A new file
is written beside its place, flushed to disk, and linked into place: a link never replaces, so of two processes that
start at once both end with the file of the first. A lock was rejected: it would need a bound and a way to break
it. The file is refused, never repaired, when others can read, replace or own it: a key that may have been read
is no longer an identity, and only its owner can judge that.
"""

from __future__ import annotations

import base64
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from crypto.identity import SEED_BYTES, Identity
from node import paths
from node.errors import KeyFileDamaged, KeyFileUnreadable, KeyFileUnsafe, KeyFileUnwritable

_FAMILY: Final = "lamella-identity-"
_HEADER: Final = f"{_FAMILY}1 "
_SIZE_BYTES: Final = len(_HEADER) + 52 + 1
"""The header, 32 bytes in base32, the newline."""
_PRIVATE_FILE: Final = 0o600


def load_or_create(path: Path) -> Identity:
    """Return the identity in the file at `path`, made and stored first if there is none.

    Missing directories are made for this user alone. Safe to call from several processes at once: all get the same
    identity. Raises `KeyFileUnreadable`, `KeyFileUnsafe`, `KeyFileDamaged` or `KeyFileUnwritable`.
    """
    identity = load(path)
    if identity is not None:
        return identity
    _create(path)
    identity = load(path)
    if identity is None:
        raise KeyFileUnwritable(
            path, f"the identity file {path} vanished as soon as it was made", "find out what deletes it"
        )
    return identity


def load(path: Path) -> Identity | None:
    """Read the file at `path`, checking the very file that was opened; None when there is none.

    Raises `KeyFileUnreadable`, `KeyFileUnsafe` or `KeyFileDamaged`.
    """
    try:
        # O_NONBLOCK: a named pipe in its place must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyFileUnsafe(
                path,
                f"the identity file {path} is a symbolic link",
                "move the file it points to in its place",
            ) from error
        raise _unreadable(path, error) from error
    try:
        _check_file(path, os.fstat(descriptor))
        data = os.read(descriptor, _SIZE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    _check_directory(path)
    return Identity.from_seed(_decode(path, data))


def _check_file(path: Path, status: os.stat_result) -> None:
    """Refuse what is not a plain file that this user alone can read and write."""
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileUnsafe(
            path, f"the identity file {path} is not a plain file", "move it away to have a new one made"
        )
    if status.st_uid != os.geteuid():
        raise KeyFileUnsafe(
            path,
            f"the identity file {path} belongs to user {status.st_uid}, not to user {os.geteuid()} who runs this",
            "run as its owner, or choose another data directory by XDG_DATA_HOME",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileUnsafe(
            path,
            f"the identity file {path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
            f"run `chmod 600 {path}` if nobody can have read it, or delete it to have a new identity made",
        )


def _check_directory(path: Path) -> None:
    """Refuse a directory in which someone else could replace the file."""
    directory = path.parent
    try:
        status = directory.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if status.st_uid not in paths.trusted_owners():
        raise KeyFileUnsafe(
            path,
            f"the directory {directory} of the identity file belongs to user {status.st_uid}",
            "run as its owner, or choose another data directory by XDG_DATA_HOME",
        )
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise KeyFileUnsafe(
            path,
            f"other users can replace files in {directory}, where the identity is kept",
            f"run `chmod 700 {directory}`",
        )


def _decode(path: Path, data: bytes) -> bytes:
    """Return the seed a file's bytes hold. What they hold never enters an error."""
    text = data.decode("ascii", errors="replace")
    if text.startswith(_FAMILY) and not text.startswith(_HEADER):
        raise KeyFileDamaged(
            path,
            f"the identity file {path} is of another format version",
            "use the version of Lamella that made it",
        )
    try:
        seed = base64.b32decode(text.removeprefix(_HEADER).rstrip("\n").upper() + "====")
    except ValueError:
        seed = b""
    # One spelling only: a file that differs from what is written was edited or damaged.
    if len(seed) != SEED_BYTES or _encode(seed) != data:
        raise KeyFileDamaged(
            path,
            f"the identity file {path} is damaged",
            "restore it from a backup, or delete it to have a new identity made",
        )
    return seed


def _encode(seed: bytes) -> bytes:
    return f"{_HEADER}{base64.b32encode(seed).decode().rstrip('=').lower()}\n".encode()


def _create(path: Path) -> None:
    """Store a fresh identity at `path`, whole or not at all, unless a file is there already."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        paths.make_private(path.parent)
        _check_directory(path)
        try:
            _write_private(temporary, _encode(secrets.token_bytes(SEED_BYTES)))
            path.hardlink_to(temporary)
        except FileExistsError:
            return  # another process was first; its identity is ours
        finally:
            temporary.unlink(missing_ok=True)
        _flush_directory(path.parent)
    except OSError as error:
        raise KeyFileUnwritable(
            path,
            f"the identity file {path} cannot be made ({os.strerror(error.errno or 0)})",
            "make room or get write access there, or choose another data directory by XDG_DATA_HOME",
        ) from error


def _write_private(path: Path, data: bytes) -> None:
    """Make a new file that only this user can read, and wait until its bytes are on disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _PRIVATE_FILE)
    try:
        os.fchmod(descriptor, _PRIVATE_FILE)
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_directory(directory: Path) -> None:
    """Wait until the directory's entries are on disk, so that the identity survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> KeyFileUnreadable:
    return KeyFileUnreadable(
        path,
        f"the identity file {path} cannot be read ({os.strerror(error.errno or 0)})",
        "check the permissions of the file and its directories",
    )
