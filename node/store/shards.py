"""Writes safetensors of known sizes as their bytes come, in shards, into a folder that appears whole or not at all.

All is written to a folder beside the one asked for, which is renamed once every byte is on disk: whoever finds a folder
of that name finds all of it. Sizes and order are fixed before the first byte, so the same tensors give the same
files. Format: safetensors README, §Format.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from node.store.errors import StoreError
from node.store.shard_index import INDEX

SHARD_BYTES: Final = 1 << 30
"""The most in one file, other than a group of tensors that is larger."""
_ALIGNMENT: Final = 8
_ITEM_BYTES: Final = {"I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I8": 1, "U8": 1}
_NUMBER: Final = re.compile(r"(\d+)")


class CannotWrite(StoreError):
    """A folder cannot be made or filled."""


class Planned(Protocol):
    """A tensor that is to be written."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Shard:
    """One file: its tensors in the order of their bytes."""

    name: str
    header: bytes
    offsets: dict[str, int]
    """Of each tensor's first byte in the file."""
    nbytes: int


def natural(name: str) -> tuple[str | int, ...]:
    """A key that sorts names with numbers as a person would: layer 2 before layer 10."""
    return tuple(int(part) if part.isdecimal() else part for part in _NUMBER.split(name))


def plan(groups: Iterable[Sequence[Planned]], shard_bytes: int = SHARD_BYTES) -> tuple[Shard, ...]:
    """Put groups of tensors into shards, in their order; a group stays in one."""
    files: list[list[Planned]] = [[]]
    for group in groups:
        size = sum(one.nbytes for one in group)
        if files[-1] and sum(one.nbytes for one in files[-1]) + size > shard_bytes:
            files.append([])
        files[-1] += group
    count = len(files)
    return tuple(
        _shard(f"model-{index:05d}-of-{count:05d}.safetensors", tensors)
        for index, tensors in enumerate(files, 1)
    )


def _shard(name: str, tensors: Sequence[Planned]) -> Shard:
    # Wide items first, as the reference implementation has it: then every tensor is aligned.
    ordered = sorted(tensors, key=lambda one: -_ITEM_BYTES[one.dtype])
    fields: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    offsets = {}
    for one in ordered:
        fields[one.name] = {
            "dtype": one.dtype,
            "shape": list(one.shape),
            "data_offsets": [at, at + one.nbytes],
        }
        offsets[one.name] = at
        at += one.nbytes
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    start = 8 + len(text)
    header = len(text).to_bytes(8, "little") + text
    return Shard(name, header, {key: start + offset for key, offset in offsets.items()}, start + at)


class NewFolder:
    """A folder under way: files are added, and `finish` gives it its name."""

    def __init__(self, path: Path) -> None:
        """Begin a folder that is to be at `path`, which must be free, or empty.

        Raises:
            CannotWrite: it is taken, or its parent cannot be written.
        """
        self.path = path
        check_free(path)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        except OSError as error:
            raise _cannot(path.parent, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_room(self, nbytes: int) -> None:
        """Raise `CannotWrite` unless the disk has room for so many bytes."""
        with self._errors(self.path.name):
            free = shutil.disk_usage(self.folder).free
        if free < nbytes:
            raise CannotWrite(
                f"{self.path.parent} has {free / 1e9:.1f} GB free where {nbytes / 1e9:.1f} GB are to be written",
                "make room, or name another disk with --out",
            )

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[ShardWriter]:
        """Write one shard. Raises `CannotWrite`."""
        with self._errors(shard.name):
            file = os.open(self.folder / shard.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                writer = ShardWriter(self, file, shard)
                writer.write_at(0, memoryview(shard.header))
                os.ftruncate(file, shard.nbytes)
                yield writer
                os.fsync(file)
            finally:
                os.close(file)

    def write(self, name: str, data: bytes) -> None:
        """Write one small file. Raises `CannotWrite`."""
        with self._errors(name), (self.folder / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, name: str, data: bytes) -> None:
        """Write one small file anew. Raises `CannotWrite`."""
        with self._errors(name):
            (self.folder / name).unlink()
        self.write(name, data)

    def write_index(self, shards: Sequence[Shard]) -> None:
        """Write the index that says which tensor is in which file. Raises `CannotWrite`."""
        total = sum(one.nbytes - len(one.header) for one in shards)
        places = {name: one.name for one in shards for name in one.offsets}
        index = {
            "metadata": {"total_size": total},
            "weight_map": {name: places[name] for name in sorted(places, key=natural)},
        }
        self.write(INDEX, (json.dumps(index, indent=2) + "\n").encode())

    def finish(self) -> None:
        """Give the folder its name. Raises `CannotWrite`."""
        with self._errors(self.path.name):
            self.folder.chmod(0o777 & ~_umask())
            _sync(self.folder)
            self.folder.rename(self.path)
            _sync(self.path.parent)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _cannot(self.path.parent / name, error) from error


class ShardWriter:
    """One open shard."""

    def __init__(self, folder: NewFolder, file: int, shard: Shard) -> None:
        """Made by `NewFolder.open_shard`."""
        self._folder = folder
        self._file = file
        self._shard = shard

    def write(self, name: str, offset: int, data: memoryview) -> None:
        """Write bytes of a tensor from `offset` of it on. Raises `OSError`, which `open_shard` maps."""
        self.write_at(self._shard.offsets[name] + offset, data)

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write bytes of the file."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], offset + done)


def check_free(path: Path) -> None:
    """Raise `CannotWrite` unless nothing, or an empty folder, is at `path`, in a folder that is there."""
    try:
        if path.is_dir() and not any(path.iterdir()):
            return
        if path.is_symlink() or path.exists():
            raise CannotWrite(f"{path} exists and is not an empty folder", "name another one with --out")
        if not path.parent.is_dir():
            raise CannotWrite(f"there is no folder {path.parent}", "make it, or name another one with --out")
    except OSError as error:
        raise _cannot(path, error) from error


def _cannot(path: Path, error: OSError) -> CannotWrite:
    return CannotWrite(
        f"{path} cannot be written ({error.strerror or error})", "check the disk, or name another with --out"
    )


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
