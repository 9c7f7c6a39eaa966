"""What a network is called, and what may be shown of its name to those who do not know it.

Spec: `specs/discovery.md` §Networks.
"""

from __future__ import annotations

from typing import Final

from crypto.digest import MAX_LABEL_BYTES, framed, label, sha256
from crypto.errors import CryptoError
from wire import limits
from wire.errors import InvalidValue

TAG_CONTEXT: Final = "lamella-network/1"
TAG_BYTES: Final = 16
"""Half a digest: enough that two networks never share one by chance."""


def check_network(name: str) -> str:
    """Return a network's name when it can be one. Raises `InvalidValue`."""
    if not name or len(name) > limits.MAX_AGENT_CHARS or not name.isprintable():
        raise InvalidValue(f"a network name is 1 to {limits.MAX_AGENT_CHARS} printable characters")
    try:
        label(name)
    except CryptoError as error:
        raise InvalidValue(f"a network name is at most {MAX_LABEL_BYTES} bytes of UTF-8") from error
    return name


def network_tag(name: str) -> bytes:
    """Return what stands for a network where strangers see it: the beginning of a digest of its name.

    Who can guess a name can check the guess; the tag hides a name only as far as the name is hard to guess.
    Raises `InvalidValue`.
    """
    return sha256(framed(label(TAG_CONTEXT), label(check_network(name))))[:TAG_BYTES]
