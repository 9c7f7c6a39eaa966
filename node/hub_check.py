"""Whether a manifest can be the one of a hub's checkpoint, asked of the hub in few bytes.

Names, types, shapes and sizes of all tensors are compared with the hub's headers, and the small files that are needed
with the hub's own. What the tensors hold is checked where they are fetched: one chunk comes from the hub in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from node.quantised import BadNote
from node.store.errors import BadCheckpoint, StoreError
from node.store.hub import HubRepo
from node.store.hub_manifest import base_of
from wire import limits
from wire.manifest import SMALL_FILES, Manifest

_SHA256_DIGITS: Final = 64


class ClaimRefused(StoreError):
    """A manifest is not that of the hub's checkpoint."""


async def check_claim(repo: HubRepo, manifest: Manifest, files: Iterable[str] | None) -> None:
    """Compare a manifest with what a hub says.

    Args:
        files: the small files that will be used; None for all.

    Raises:
        ClaimRefused: they differ.
        HubError: the hub cannot be asked.
    """
    try:
        base, layout = await base_of(repo), await repo.layout()
    except (BadCheckpoint, BadNote) as error:
        raise _refused(repo, error.cause) from error
    if manifest.base != base:
        raise _refused(repo, "it was made from another model, or in another way")
    there = {name: (one.dtype, one.shape, one.size) for name, one in layout.items()}
    named = {one.name: (one.dtype, one.shape, one.size) for one in manifest.tensors}
    if there != named:
        differing = sorted(name for name in {*there, *named} if there.get(name) != named.get(name))
        raise _refused(repo, f"{len(differing)} tensors differ, {differing[0][:80]} the first")
    sizes = {name: repo.files[name].size for name in SMALL_FILES if name in repo.files}
    if sizes != {one.name: one.size for one in manifest.files}:
        raise _refused(repo, "the files beside the weights differ")
    needed = set(SMALL_FILES) if files is None else set(files)
    for entry in manifest.files:
        if entry.name in needed and entry.digest != await _digest(repo, entry.name):
            raise _refused(repo, f"{entry.name} differs")


async def _digest(repo: HubRepo, name: str) -> bytes:
    """The SHA-256 of a small file: as the hub lists it where it does, else of what it sends."""
    oid = repo.files[name].oid
    if len(oid) == _SHA256_DIGITS:
        return bytes.fromhex(oid)
    return hashlib.sha256(await repo.whole(name, limits.MAX_SMALL_FILE_BYTES)).digest()


def _refused(repo: HubRepo, why: str) -> ClaimRefused:
    return ClaimRefused(f"a manifest is not that of {repo.name}: {why}", "ask another peer")
