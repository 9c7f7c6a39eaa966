"""Hashes, and the one way to join several byte strings before they are hashed or signed.

Joining without lengths would let `("ab", "c")` pass for `("a", "bc")`; `framed` never does. Spec: `specs/noise.md`
§Framing.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

from crypto.errors import InvalidLabel

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes of any owner. A memoryview must be contiguous and of single bytes (`cast("B")`)."""

DIGEST_BYTES: Final = 32
MAX_LABEL_BYTES: Final = 255
"""Contexts, protocol and network names are short words; a bound keeps hashing them cheap."""


def sha256(*parts: Buffer) -> bytes:
    """Return the SHA-256 of the parts, one after the other."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.digest()


def framed(*parts: Buffer) -> bytes:
    """Join the parts, each after its length as a 32-bit big-endian number, so that no two lists join alike."""
    pieces: list[Buffer] = []
    for part in parts:
        pieces += (len(part).to_bytes(4, "big"), part)
    return b"".join(pieces)


def label(text: str) -> bytes:
    """Encode a context or name as UTF-8. Raises `InvalidLabel` when empty, too long or not encodable."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidLabel("a name must be valid Unicode text") from error
    if not 1 <= len(data) <= MAX_LABEL_BYTES:
        raise InvalidLabel(f"a name is 1 to {MAX_LABEL_BYTES} bytes of UTF-8, this one is {len(data)}")
    return data
