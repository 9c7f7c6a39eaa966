"""Which chunks of a model a peer holds: one bit for each, in the order of its manifest.

Spec: `specs/weights.md` §Chunks between peers. A list of digests was rejected: 32 bytes a chunk where one bit will do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wire.errors import BadMessage
from wire.manifest import Manifest


def distinct(manifest: Manifest) -> tuple[bytes, ...]:
    """The digests of a model's chunks: its files, then its tensors' chunks; each once, where it comes first."""
    found = dict.fromkeys(one.digest for one in manifest.files)
    for tensor in manifest.tensors:
        found.update(dict.fromkeys(tensor.chunks))
    return tuple(found)


def bitmap(order: Sequence[bytes], held: Collection[bytes]) -> bytes:
    """One bit for each digest of `order`, the first in the highest bit of the first byte; the rest is zero."""
    bits = bytearray(bitmap_size(len(order)))
    for index, digest in enumerate(order):
        if digest in held:
            bits[index >> 3] |= 0x80 >> (index & 7)
    return bytes(bits)


def bitmap_size(num_chunks: int) -> int:
    """The length in bytes of a bitmap of so many chunks."""
    return -(-num_chunks // 8)


def read_bitmap(order: Sequence[bytes], bits: bytes) -> frozenset[bytes]:
    """The digests that a bitmap names. Raises `BadMessage` for a wrong length or a bit that stands for nothing."""
    if len(bits) != bitmap_size(len(order)):
        raise BadMessage(
            f"a bitmap of {len(order)} chunks is {bitmap_size(len(order))} bytes, this is {len(bits)}"
        )
    if len(order) & 7 and bits[-1] & (0xFF >> (len(order) & 7)):
        raise BadMessage("a bitmap's last bits stand for no chunk and are zero")
    return frozenset(digest for index, digest in enumerate(order) if bits[index >> 3] & (0x80 >> (index & 7)))
