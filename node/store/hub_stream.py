"""Every byte of a checkpoint on a hub, once and in order: what a publisher reads who does not keep it.

Several stretches are fetched ahead, for one connection over a long way does not fill a fast line; they are handed on in
order. One that breaks off goes on where it broke off. In memory are at most `AHEAD` stretches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from node.store.hub import HubRepo
from node.store.hub_errors import HubError
from node.store.hub_headers import RemoteTensor
from wire import limits

AHEAD: Final = 4
"""Stretches fetched at once."""
STRETCH_BYTES: Final = 16 * 1024 * 1024
"""The most of a stretch, other than one that a single piece exceeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A chunk's place on the hub."""

    file: str
    tensor: str
    offset: int
    """Of its first byte in the tensor."""
    start: int
    """Of its first byte in the file."""
    size: int
    """At most `limits.CHUNK_BYTES`."""


def pieces_of(tensors: Sequence[tuple[str, RemoteTensor]]) -> Iterator[Piece]:
    """Cut tensors into the chunks that a manifest digests, in the order they are given."""
    for name, one in tensors:
        for offset in range(0, one.size, limits.CHUNK_BYTES):
            yield Piece(
                file=one.file,
                tensor=name,
                offset=offset,
                start=one.start + offset,
                size=min(limits.CHUNK_BYTES, one.size - offset),
            )


def stretches_of(pieces: Iterator[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Put pieces that lie side by side in one file together, up to `STRETCH_BYTES`."""
    under_way: list[Piece] = []
    for piece in pieces:
        if under_way:
            last = under_way[-1]
            adjoins = piece.file == last.file and piece.start == last.start + last.size
            if not adjoins or piece.start + piece.size - under_way[0].start > STRETCH_BYTES:
                yield tuple(under_way)
                under_way = []
        under_way.append(piece)
    if under_way:
        yield tuple(under_way)


async def stream(
    repo: HubRepo,
    deliver: Callable[[Piece, bytes], Awaitable[None]],
    *,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Hand every chunk of every tensor to `deliver`, once each, in the order of files and of bytes in them.

    Args:
        progress: called with the fraction done, from 0 to 1.

    Raises:
        BadCheckpoint: it is no checkpoint of safetensors.
        HubError: the hub did not deliver, as often as it was asked.
    """
    layout = await repo.layout()
    total = sum(one.size for one in layout.values()) or 1
    done = 0
    under_way: deque[tuple[tuple[Piece, ...], asyncio.Task[bytearray]]] = deque()

    async def hand_on() -> None:
        nonlocal done
        pieces, task = under_way.popleft()
        data = memoryview(await task)
        at = pieces[0].start
        for piece in pieces:
            await deliver(piece, bytes(data[piece.start - at : piece.start - at + piece.size]))
            done += piece.size
            if progress is not None:
                progress(done / total)

    try:
        async with asyncio.TaskGroup() as group:
            for pieces in stretches_of(pieces_of(list(layout.items()))):
                under_way.append((pieces, group.create_task(_fetch(repo, pieces))))
                if len(under_way) >= AHEAD:
                    await hand_on()
            while under_way:
                await hand_on()
    except ExceptionGroup as errors:  # the group's only form; nothing is swallowed, its first error goes on
        raise errors.exceptions[0] from errors


async def _fetch(repo: HubRepo, pieces: Sequence[Piece]) -> bytearray:
    """Fetch one stretch, going on after the last byte that came. Raises `HubError`."""
    file, stop = pieces[0].file, pieces[-1].start + pieces[-1].size
    data = bytearray()
    failures = 0
    while True:
        here = len(data)
        try:
            stretch = repo.stretch(file, pieces[0].start + here, stop)
            async with aclosing(repo.http.pieces(stretch)) as came:
                async for part in came:
                    data += part
            return data
        except HubError as error:
            failures = 1 if len(data) > here else failures + 1
            if error.retry_after_s is None or failures >= repo.patience.attempts:
                raise
            wait_s = repo.patience.wait_s(failures, error.retry_after_s)
        await repo.patience.sleep(wait_s)
