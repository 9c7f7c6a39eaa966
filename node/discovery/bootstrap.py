"""The signed list of peers to begin with: read from a file, checked against the key that is pinned here.

A list is a file on disk, brought by the release, a package or a person; nothing is fetched. An expired list is refused
rather than tried: its signer said until when he vouches for it, and a stolen one must not be worth anything for ever.
Lists are signed with `python -m scripts.sign_bootstrap`. Spec: `specs/discovery.md` §Bootstrap lists.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crypto.errors import BadSignature
from node.discovery.errors import BootstrapExpired, BootstrapRefused, OtherNetwork
from wire import limits
from wire.bootstrap_list import BootstrapList
from wire.errors import BadMessage, NewerVersion

PINNED_KEY: Final = bytes.fromhex("d9e5f1df8ebc3e5301c96533d52bdad3d802cfe0e430e4e798219709fd6f678f")
"""The Ed25519 public key whose lists are believed unless the configuration names another.

Its private half is with those who make releases and in no repository. Who loses it, or runs a swarm of his own, makes
a new pair with `scripts.sign_bootstrap --new-key` and either changes this line or says `--bootstrap-key`.
"""
PACKAGED: Final = Path(__file__).with_name("bootstrap.list")
"""Where a release puts its list; a source tree has none."""
AHEAD_S: Final = 86_400
"""How far ahead of this machine's clock a list may have been issued."""


def read_bootstrap(path: Path, *, network: str, now: float, key: bytes = PINNED_KEY) -> BootstrapList:
    """Return the list at `path` when `key` signed it and it holds. Blocks on the disk.

    Args:
        network: the network this program is in.
        now: Unix time in seconds.
    Raises:
        BootstrapExpired, BootstrapRefused, OtherNetwork.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.MAX_BOOTSTRAP_BYTES + 1)
    except OSError as error:
        raise BootstrapRefused(
            f"the bootstrap list {path} cannot be read ({error.strerror or error})",
            "check the path and its permissions, or name peers with --peer or --join",
        ) from error
    listed = _checked(path, data, key)
    if listed.network != network:
        raise OtherNetwork(f"the bootstrap list {path}", listed.network, network)
    if now >= listed.expires:
        raise BootstrapExpired(
            f"the bootstrap list {path} expired on {_day(listed.expires)}",
            "get a newer one, or set this machine's clock if it is wrong; until then use --peer or --join",
        )
    if listed.issued - now > AHEAD_S:
        raise BootstrapRefused(
            f"the bootstrap list {path} was issued on {_day(listed.issued)}, "
            f"and this machine's clock says {_day(now)}",
            "set this machine's clock",
        )
    return listed


def bootstrap_key(text: str) -> bytes:
    """Read a signer's public key as its 64 hexadecimal digits. Raises `BootstrapRefused`."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != len(PINNED_KEY) or key.hex() != text.lower():
        raise BootstrapRefused(
            "this is no public key of a bootstrap list's signer",
            "write its 64 hexadecimal digits, as scripts.sign_bootstrap prints them",
        )
    return key


def _checked(path: Path, data: bytes, key: bytes) -> BootstrapList:
    try:
        return BootstrapList.read(data, key)
    except BadSignature as error:
        raise BootstrapRefused(
            f"the bootstrap list {path} is not signed by the key this program trusts ({error})",
            "get the list anew, or give its signer's public key with --bootstrap-key",
        ) from error
    except NewerVersion as error:
        raise BootstrapRefused(
            f"{path}: {error}", "update Lamella, or name peers with --peer or --join"
        ) from error
    except BadMessage as error:
        raise BootstrapRefused(
            f"{path} is no bootstrap list ({error.detail})", "get it anew, or leave --bootstrap out"
        ) from error


def _day(unix_s: float) -> str:
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return "a day no calendar has"
