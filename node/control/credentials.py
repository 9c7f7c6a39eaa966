"""Who is at the other end of a Unix socket, as the kernel tells it and not as the other end does.

Linux: `SO_PEERCRED`, unix(7). macOS: `LOCAL_PEERCRED`, unix(4), of which the first two words of `struct xucred` are
read. Elsewhere nothing is known, and whoever asks is told so: a guess would be worse.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final, Protocol

from node.control.errors import CredentialsUnknown

_ROOT: Final = 0
_UCRED: Final = struct.Struct("=iII")
"""Process, user, group."""
_NOBODY_KNOWN: Final = (1 << 32) - 1
_XUCRED: Final = struct.Struct("=II")
"""Version, user; groups follow."""
_XUCRED_BYTES: Final = 76
_XUCRED_VERSION: Final = 0
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1


@dataclass(frozen=True, slots=True)
class PeerProcess:
    """The process at the other end when it connected, or began to listen."""

    uid: int
    pid: int | None
    """None where the system does not tell."""

    def may_control(self, own_uid: int) -> bool:
        """Whether it is of the same user, or of root, who could do all of it anyway."""
        return self.uid in {own_uid, _ROOT}

    def may_answer(self, own_uid: int) -> bool:
        """Whether what it says is believed: as above, and root may ask anybody's host."""
        return own_uid == _ROOT or self.may_control(own_uid)


class HasOptions(Protocol):
    """What a socket has, and what asyncio lends of one."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As `socket.socket.getsockopt`."""
        ...


def read_peer(connected: HasOptions, platform: str = sys.platform) -> PeerProcess:
    """The process at the other end of a connected Unix socket.

    Raises:
        CredentialsUnknown: the system does not tell.
    """
    ask = _ASKED.get(platform)
    if ask is None:
        raise _unknown(f"on {platform} it is not known how to ask")
    try:
        return ask(connected)
    except OSError as error:
        raise _unknown(os.strerror(error.errno or 0)) from error


def parse_ucred(data: bytes) -> PeerProcess:
    """Read `struct ucred`. Raises `CredentialsUnknown`."""
    if len(data) != _UCRED.size:
        raise _unknown("its answer has another form")
    pid, uid, _ = _UCRED.unpack(data)
    if uid == _NOBODY_KNOWN:
        raise _unknown("the user has no number here")
    # No process is 0: that is one of another namespace.
    return PeerProcess(uid, pid or None)


def parse_xucred(data: bytes) -> PeerProcess:
    """Read the beginning of `struct xucred`. Raises `CredentialsUnknown`."""
    if len(data) < _XUCRED.size:
        raise _unknown("its answer has another form")
    version, uid = _XUCRED.unpack_from(data)
    if version != _XUCRED_VERSION:
        raise _unknown("its answer has another form")
    return PeerProcess(uid, None)


def _ask_linux(connected: HasOptions) -> PeerProcess:
    return parse_ucred(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))


def _ask_macos(connected: HasOptions) -> PeerProcess:
    return parse_xucred(connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES))


_ASKED: Final = {"linux": _ask_linux, "darwin": _ask_macos}


def _unknown(why: str) -> CredentialsUnknown:
    return CredentialsUnknown(
        f"this system does not tell which user is at the other end of a socket: {why}",
        "use the signals SIGTERM and SIGHUP instead",
    )
