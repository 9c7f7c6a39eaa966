"""Fuzz target: any bytes are exactly one manifest or `BadMessage`."""

from __future__ import annotations

from scripts.make_manifest_vectors import manifest
from wire.errors import BadMessage
from wire.manifest import Manifest

SEEDS = tuple(
    bytes.fromhex(one["manifest"])
    for group in ("manifests", "refused")
    for one in manifest()[group]  # type: ignore[index]  # the vectors' own form
)


def fuzz(data: bytes) -> None:
    """Decode; what decodes must encode to the very same bytes."""
    try:
        read = Manifest.decode(data)
    except BadMessage:
        return
    assert read.encode() == data
