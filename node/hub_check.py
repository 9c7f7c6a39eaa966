"""Whether a manifest can be the one of a hub's checkpoint, asked of the hub in few bytes.

Names, types, shapes and sizes of all tensors are compared with the hub's headers, and the small files that are needed
with the hub's own. What the tensors hold is checked where they are fetched: one chunk comes from the hub in any case,
and whatever else the hub delivers is compared too (`Witness`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.quantised import BadNote
from node.store.errors import BadCheckpoint, StoreError
from node.store.fetch import closing
from node.store.hub import HubRepo
from node.store.hub_manifest import base_of
from node.store.pace import Turn
from node.store.source import Chunk, Source, SourceFailed
from wire import limits
from wire.manifest import SMALL_FILES, Manifest

_SHA256_DIGITS: Final = 64


class ClaimRefused(StoreError):
    """A manifest is not that of the hub's checkpoint."""


class NotTheHubs(StoreError):
    """The manifest of a hub's checkpoint names other bytes than the hub has."""


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


@dataclass(frozen=True, slots=True)
class Witness:
    """The hub as a source of chunks, of which each is compared with the manifest at once; a `Source`.

    A bit that was turned on the way is not turned a second time. So what the hub sends twice is what it has.
    """

    hub: Source
    name: str
    """Of the model."""
    is_peer: bool = False

    @property
    def label(self) -> str:
        """See `Source`."""
        return self.hub.label

    @property
    def streams(self) -> int:
        """See `Source`."""
        return self.hub.streams

    def holds(self, chunk: Chunk) -> bool:
        """See `Source`."""
        return self.hub.holds(chunk)

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]:
        """See `Source`."""
        return self.hub.batch(ranked, most_bytes)

    async def read(
        self, batch: Sequence[Chunk], turn: Turn | None = None
    ) -> AsyncIterator[tuple[Chunk, bytes]]:
        """See `Source`. Raises `NotTheHubs` for a chunk that is another than the manifest names."""
        async with closing(self.hub.read(batch, turn)) as chunks:
            async for chunk, data in chunks:
                came = await _sum(data)
                if came != chunk.digest:
                    await self._look_again(chunk, came, turn)
                yield chunk, data

    async def _look_again(self, chunk: Chunk, came: bytes, turn: Turn | None) -> None:
        """Raise `NotTheHubs` if the hub sends the same wrong bytes again, else `SourceFailed`."""
        async with closing(self.hub.read([chunk], turn)) as chunks:
            async for _, data in chunks:
                if await _sum(data) == came:
                    raise NotTheHubs(
                        f"the manifest of {self.name} that is known here names other bytes for {chunk.name} than the "
                        "hub has",
                        "start again, which asks other peers, or run `lamella-node publish` on the hub's name",
                    )
        raise SourceFailed(
            f"{chunk.name} came with wrong bytes from the {self.label}",
            "it is asked again",
            retry_after_s=0.0,
        )


async def _sum(data: bytes) -> bytes:
    return (await asyncio.to_thread(hashlib.sha256, data)).digest()


async def _digest(repo: HubRepo, name: str) -> bytes:
    """The SHA-256 of a small file: as the hub lists it where it does, else of what it sends."""
    oid = repo.files[name].oid
    if len(oid) == _SHA256_DIGITS:
        return bytes.fromhex(oid)
    return hashlib.sha256(await repo.whole(name, limits.MAX_SMALL_FILE_BYTES)).digest()


def _refused(repo: HubRepo, why: str) -> ClaimRefused:
    return ClaimRefused(f"a manifest is not that of {repo.name}: {why}", "ask another peer")
