"""The manifest of a checkpoint on a hub, made while its bytes pass by; nothing of it need be on this disk.

Equal to `node.store.checkpoint.build_manifest` of the same files. Where the hub lists a file's SHA-256, all of the
file is checked against it, so that a byte that a proxy or a disk turned on the way does not become part of a model.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from node import quantised
from node.store.hub import HubRepo
from node.store.hub_errors import HubWrongAnswer
from node.store.hub_headers import RemoteTensor, all_of
from node.store.hub_stream import Piece, stream
from node.store.source import Chunk
from wire.limits import DIGEST_BYTES
from wire.manifest import SMALL_FILES, Base, FileEntry, Manifest, TensorEntry

Keep = Callable[[Chunk, bytes], None]
"""Takes each chunk as it passes; called on a thread, one at a time. Its errors end the work."""


async def manifest_of(
    repo: HubRepo, *, progress: Callable[[float], None] | None = None, keep: Keep | None = None
) -> Manifest:
    """Read every byte of a checkpoint once and return its manifest.

    Args:
        progress: called with the fraction done, from 0 to 1.
        keep: takes each chunk as it passes.

    Raises:
        BadCheckpoint: it is no checkpoint of safetensors, or its files do not fit together.
        BadNote: its word on what it was quantised from cannot be read.
        HubError: the hub did not deliver, or other bytes than it listed.
    """
    base = await base_of(repo)
    small = await repo.small_files()
    files = [
        await asyncio.to_thread(_digest_file, name, small[name], keep)
        for name in SMALL_FILES
        if name in small
    ]
    layout = await repo.layout()
    sums = {
        file: hashlib.sha256((await repo.headers.header(file)).text)
        for file in {one.file for one in layout.values()}
    }
    chunks: dict[str, list[bytes]] = {name: [] for name in layout}

    def digest(piece: Piece, data: bytes) -> None:
        found = hashlib.sha256(data).digest()
        chunks[piece.tensor].append(found)
        if keep is not None:
            keep(Chunk(digest=found, size=len(data), name=piece.tensor, offset=piece.offset), data)

    async def deliver(piece: Piece, data: bytes) -> None:
        # Two digests of every byte, side by side: each takes longer than a fast line needs to bring it.
        await all_of(
            [asyncio.to_thread(sums[piece.file].update, data), asyncio.to_thread(digest, piece, data)]
        )

    await stream(repo, deliver, progress=progress)
    await _check(repo, {file: one.hexdigest() for file, one in sums.items()})
    return Manifest(files=tuple(files), tensors=_entries(layout, chunks), base=base)


async def base_of(repo: HubRepo) -> Base | None:
    """What a checkpoint was quantised from; None of one that was not. Raises `BadNote`, `HubError`."""
    if quantised.FILE not in repo.files:
        return None
    text = await repo.whole(quantised.FILE, quantised.MAX_BYTES)
    note = quantised.decode(Path(str(repo.name)) / quantised.FILE, text)
    return Base(note.model, note.weights)


def _digest_file(name: str, data: bytes, keep: Keep | None) -> FileEntry:
    digest = hashlib.sha256(data).digest()
    if keep is not None:
        keep(Chunk(digest=digest, size=len(data), name=name, is_file=True), data)
    return FileEntry(name=name, size=len(data), digest=digest)


async def _check(repo: HubRepo, sums: Mapping[str, str]) -> None:
    """Compare files with what the hub listed, where it listed a SHA-256. Raises `HubWrongAnswer`."""
    for file, found in sorted(sums.items()):
        listed = repo.files[file].oid
        if len(listed) == 2 * DIGEST_BYTES and listed != found:
            await repo.headers.forget(file)
            raise HubWrongAnswer(
                f"{file} of {repo.name} came with other bytes than the hub lists",
                "publish it again",
                retry_after_s=None,
            )


def _entries(
    layout: Mapping[str, RemoteTensor], chunks: Mapping[str, list[bytes]]
) -> tuple[TensorEntry, ...]:
    return tuple(
        TensorEntry(
            name=name,
            dtype=layout[name].dtype,
            shape=layout[name].shape,
            size=layout[name].size,
            chunks=tuple(chunks[name]),
        )
        for name in sorted(layout)
    )
