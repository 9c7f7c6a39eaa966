"""Where each tensor of a model on a hub lies: its index, and the header of each file that is needed.

Read as strictly as files on this disk are (`safetensors_header`, `shard_index`); what was read once, and could be true,
is kept. huggingface_hub has a function for it, which reads all files and does not tell where in them the tensors begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from node.store.checkpoint import PICKLES, SINGLE
from node.store.errors import BadCheckpoint
from node.store.hub_cache import HubCache
from node.store.hub_library import RemoteFile
from node.store.hub_name import HubName
from node.store.safetensors_header import (
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    TensorPlace,
    header_bytes,
    parse_header,
)
from node.store.shard_index import INDEX, MAX_INDEX_BYTES, parse_index

FIRST_READ_BYTES: Final = 128 * 1024
"""Read of a safetensors file to learn how long its header is; most are shorter, and then here in one request."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTensor:
    """Where a tensor lies on the hub."""

    file: str
    start: int
    """Offset of its first byte from the beginning of the file."""
    size: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the tensors of a file."""

    text: bytes
    """All bytes of the file before its first tensor."""
    places: tuple[TensorPlace, ...]
    """Its tensors, in the order of their bytes."""


class Files(Protocol):
    """Files of a repository at one commit."""

    @property
    def name(self) -> HubName: ...

    @property
    def commit(self) -> str: ...

    @property
    def files(self) -> Mapping[str, RemoteFile]: ...

    async def whole(self, file: str, most: int) -> bytes:
        """Return all of a file that should have at most so many bytes. Raises `BadCheckpoint`, `HubError`."""

    async def part(self, file: str, start: int, stop: int) -> bytes:
        """Return bytes of a file. Raises `HubError`."""


class HubHeaders:
    """The index and the headers of one repository."""

    def __init__(self, files: Files, cache: HubCache) -> None:
        """Read them of `files`, and keep them in `cache`."""
        self._files = files
        self._cache = cache
        self._read: dict[str, Header] = {}

    async def layout(self, wanted: Collection[str] | None) -> Mapping[str, RemoteTensor]:
        """Return where the tensors lie; see `HubRepo.layout`."""
        index = await self._index()
        files = sorted(set(index.values())) if index else [SINGLE]
        if wanted is not None and index:
            for name in wanted:
                if name not in index:
                    raise _without(str(self._files.name), name)
            files = sorted({index[name] for name in wanted})
        headers = await all_of([self.header(file) for file in files])
        found: dict[str, RemoteTensor] = {}
        for file, header in zip(files, headers, strict=True):
            for place in header.places:
                if place.name in found:
                    raise BadCheckpoint(
                        f"tensor {place.name} is in two files of {self._files.name}",
                        "choose another revision",
                    )
                found[place.name] = RemoteTensor(
                    file=file, start=place.start, size=place.size, dtype=place.dtype, shape=place.shape
                )
        for name in wanted or ():
            if name not in found:
                raise _without(self._label(index.get(name, SINGLE)), name)
        return found

    async def header(self, file: str) -> Header:
        """Return what stands before the tensors of a file. Raises `BadCheckpoint`, `HubError`."""
        if file not in self._read:
            commit = self._files.commit
            kept = await asyncio.to_thread(self._cache.kept, commit, "header", file, MAX_HEADER_BYTES)
            text = await self._text(file) if kept is None else kept
            total = self._files.files[file].size
            places = await asyncio.to_thread(parse_header, self._label(file), text[LENGTH_BYTES:], total)
            if kept is None:
                await asyncio.to_thread(self._cache.keep, commit, "header", file, text)
            self._read[file] = Header(text=text, places=places)
        return self._read[file]

    async def forget(self, file: str) -> None:
        """Ask for a header anew the next time: the file turned out not to be what the hub listed."""
        self._read.pop(file, None)
        await asyncio.to_thread(self._cache.drop, self._files.commit, "header", file)

    async def _text(self, file: str) -> bytes:
        total = self._files.files[file].size
        data = await self._files.part(file, 0, min(FIRST_READ_BYTES, total))
        stop = LENGTH_BYTES + header_bytes(self._label(file), data[:LENGTH_BYTES], total)
        if stop > len(data):
            data += await self._files.part(file, len(data), stop)
        return data[:stop]

    async def _index(self) -> Mapping[str, str]:
        """Which tensor is in which file; empty when all are in one. Raises `BadCheckpoint`, `HubError`."""
        files, name = self._files.files, self._files.name
        if INDEX in files:
            data = await self._files.whole(INDEX, MAX_INDEX_BYTES)
            index = await asyncio.to_thread(parse_index, self._label(INDEX), data)
            missing = sorted(set(index.values()) - set(files))
            if missing:
                raise BadCheckpoint(
                    f"{self._label(INDEX)} names {missing[0]!r}, which is not there",
                    "choose another revision",
                )
            return index
        if SINGLE in files:
            return {}
        if any(Path(file).match(pattern) for file in files for pattern in PICKLES):
            raise BadCheckpoint(
                f"{name} has pickled weights only, which can run code when opened",
                "choose a model, or a revision, with safetensors",
            )
        raise BadCheckpoint(f"{name} has neither {SINGLE} nor {INDEX}", "choose another model")

    def _label(self, file: str) -> str:
        return f"{file} of {self._files.name}"


async def all_of(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all at once; the first that fails ends the others, and its error is the one that is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as errors:  # the group's only form; nothing is swallowed, its first error goes on
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


def _without(where: str, tensor: str) -> BadCheckpoint:
    return BadCheckpoint(f"{where} has no tensor {tensor!r}", "choose another revision")
