"""Reads a checkpoint's tensors: which there are, and the bytes of just the ones that are asked for.

They lie in safetensors files, or as chunks in a store (`chunked`).

Each tensor is read by position straight into fresh memory. The safetensors library would map the file instead,
and parameters that alias a mapping are read from disk at the first request, count as somebody else's memory, and
turn a file truncated meanwhile into a SIGBUS. Format: safetensors README, §Format.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from node.slices import chunked
from node.slices.chunked import ChunkReader
from node.slices.errors import BadCheckpoint, PickleWeights

MAX_HEADER_BYTES: Final = 100_000_000
"""Security limit: the bound the safetensors library itself holds."""
MAX_INDEX_BYTES: Final = 64 * 1024 * 1024
"""Security limit: `model.safetensors.index.json`."""

_DTYPES: Final = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_CODES: Final = {"I8": torch.int8, "U8": torch.uint8}
"""What the codes of a quantised checkpoint are stored in."""
_TABLES: Final = {"I64": torch.int64, "I32": torch.int32}
"""What tables of integers are stored in."""
_ALL: Final = {**_DTYPES, **_CODES, **_TABLES}
_EXPONENTS: Final = {
    "F32": (np.uint32, np.uint32(0x7F80_0000)),
    "BF16": (np.uint16, np.uint16(0x7F80)),
    "F16": (np.uint16, np.uint16(0x7C00)),
}
"""Where a number's exponent is; all of its bits are set in NaN and infinity alone."""
_CHECKED_AT_ONCE: Final = 1 << 20
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Contents(Protocol):
    """Where the bytes of one tensor are."""

    def fill(self, view: memoryview, offset: int) -> None:
        """Fill `view` with the tensor's bytes from `offset` on. Raises `BadCheckpoint`."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """One tensor on disk; reads itself when it is indexed, as transformers' loader does with `tensor[...]`."""

    name: str
    path: Path
    stored_dtype: str
    shape: tuple[int, ...]
    contents: Contents
    nbytes: int
    on_read: Callable[[int], None]
    """Told the bytes after each read."""

    @property
    def dtype(self) -> torch.dtype:
        """What it is stored as, once that was checked."""
        return _ALL[self.stored_dtype]

    @property
    def holds_integers(self) -> bool:
        """Whether it is a table of integers."""
        return self.stored_dtype in _TABLES

    def check_dtype(self, *, codes: bool = False, table: bool = False) -> None:
        """Raise `BadCheckpoint` if it is stored as something that weights, `codes` or a `table` are not stored in."""
        allowed = _TABLES if table else _DTYPES
        if self.stored_dtype not in allowed and not (codes and self.stored_dtype in _CODES):
            raise BadCheckpoint(
                self.path,
                f"is stored as {self.stored_dtype}, not as one of {', '.join(allowed)}",
                tensor=self.name,
                next_step="use the unquantised checkpoint",
            )

    def __getitem__(self, index: Any) -> torch.Tensor:
        tensor = self.read()
        return tensor if index is ... else tensor[index]

    def read(self) -> torch.Tensor:
        """The tensor, in memory of its own."""
        tensor = torch.empty(self.shape, dtype=self.dtype)
        self._read(tensor, 0)
        return tensor

    def read_rows(self, start: int, end: int) -> torch.Tensor:
        """Rows `[end - start, I]` of the tensor `[..., I]`, counted over all dimensions but the last."""
        tensor = torch.empty(end - start, self.shape[-1], dtype=self.dtype)
        self._read(tensor, start * self.shape[-1] * tensor.itemsize)
        return tensor

    def _read(self, tensor: torch.Tensor, offset: int) -> None:
        if tensor.nbytes:
            memory = tensor.view(-1).view(torch.uint8).numpy()
            self.contents.fill(memory.data, offset)
            self._check_finite(memory)
        self.on_read(tensor.nbytes)

    def _check_finite(self, memory: npt.NDArray[np.uint8]) -> None:
        """Raise `BadCheckpoint` for NaN or infinity. Not by torch: its pool of threads belongs to another thread."""
        if self.stored_dtype not in _EXPONENTS:
            return
        kind, exponent = _EXPONENTS[self.stored_dtype]
        words = memory.view(kind)
        for start in range(0, len(words), _CHECKED_AT_ONCE):
            if ((words[start : start + _CHECKED_AT_ONCE] & exponent) == exponent).any():
                raise BadCheckpoint(self.path, "holds NaN or infinity", tensor=self.name)


@dataclass(frozen=True, slots=True)
class _InFile:
    """A tensor in a safetensors file."""

    path: Path
    start: int
    """Of its first byte in the file."""
    name: str

    def fill(self, view: memoryview, offset: int) -> None:
        """See `Contents`."""
        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise BadCheckpoint(self.path, f"cannot be read ({error.strerror})", tensor=self.name) from error
        try:
            done = 0
            while done < len(view):
                count = os.preadv(file, [view[done : done + (1 << 30)]], self.start + offset + done)
                if count == 0:
                    raise BadCheckpoint(self.path, "the file ends inside it", tensor=self.name)
                done += count
        except OSError as error:
            raise BadCheckpoint(self.path, f"cannot be read ({error.strerror})", tensor=self.name) from error
        finally:
            os.close(file)


@dataclass(frozen=True, slots=True)
class _InChunks:
    """A tensor in chunks of a store."""

    reader: ChunkReader
    digests: tuple[bytes, ...]
    size: int

    def fill(self, view: memoryview, offset: int) -> None:
        """See `Contents`. Raises `DamagedChunk`."""
        self.reader.fill(view, self.digests, self.size, offset)


class Weights:
    """The tensors of one checkpoint by their names on disk. Opening reads no more than headers."""

    def __init__(
        self,
        folder: Path,
        *,
        wanted: Callable[[str], bool],
        on_read: Callable[[int], None],
        codes: bool = False,
        is_table: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        """
        Args:
            folder: the checkpoint.
            wanted: whether a tensor of this name on disk is needed; files without any are not even opened.
            on_read: told the number of bytes after each tensor that is read.
            codes: whether it is quantised, so that tensors may be stored as codes.
            is_table: whether the model has a table of integers where a tensor of this name on disk goes.

        Raises:
            PickleWeights: there are only pickles.
            BadCheckpoint: a needed file is missing, truncated or malformed.
        """
        self._tensors: dict[str, StoredTensor] = {}
        if chunked.is_chunked(folder):
            self._tensors = _in_store(folder, wanted, on_read)
            for name, tensor in self._tensors.items():
                tensor.check_dtype(codes=codes, table=is_table(name))
            return
        for path, names in _files(folder, wanted).items():
            stored = _header(path, on_read)
            for name in names if names is not None else filter(wanted, stored):
                if name not in stored:
                    raise BadCheckpoint(path, "the index says it is in this file, but it is not", tensor=name)
                stored[name].check_dtype(codes=codes, table=is_table(name))
                self._tensors[name] = stored[name]

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """The wanted tensors by name on disk."""
        return self._tensors

    @property
    def nbytes(self) -> int:
        """Bytes on disk of the wanted tensors together."""
        return sum(tensor.nbytes for tensor in self._tensors.values())


def _files(folder: Path, wanted: Callable[[str], bool]) -> dict[Path, list[str] | None]:
    """The files to open, each with the wanted names in it; None where only its own header knows them."""
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if not index.exists():
        if single.exists():
            return {single: None}
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
        if pickles:
            raise PickleWeights(
                folder,
                f"has its weights only as pickles ({pickles[0]}), which are programs",
                next_step="use a checkpoint in safetensors format, or convert this one in a sandbox",
            )
        raise BadCheckpoint(folder, "has neither model.safetensors nor model.safetensors.index.json")
    weight_map = read_json(index, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadCheckpoint(index, "has no weight_map")
    files: dict[Path, list[str]] = {}
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise BadCheckpoint(index, f"names the file {file!r}, which is not a safetensors file beside it")
        if wanted(name):
            files.setdefault(folder / file, []).append(name)
    return dict(files)


def _header(path: Path, on_read: Callable[[int], None]) -> dict[str, StoredTensor]:
    """Every tensor a safetensors file says it has, each checked against the size of the file."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise BadCheckpoint(path, "is not a safetensors file, or is cut off in its header")
            header = json.loads(file.read(length))
    except FileNotFoundError as error:
        raise BadCheckpoint(path, "is missing") from error
    except OSError as error:
        raise BadCheckpoint(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise BadCheckpoint(path, "its header is not an object")
    header.pop("__metadata__", None)
    return {name: _entry(path, name, fields, 8 + length, size, on_read) for name, fields in header.items()}


def _entry(
    path: Path, name: str, fields: Any, data_start: int, size: int, on_read: Callable[[int], None]
) -> StoredTensor:
    try:
        dtype, shape, (start, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise BadCheckpoint(path, "its header entry is malformed", tensor=name) from error
    if not isinstance(dtype, str) or not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
        raise BadCheckpoint(path, "its header entry is malformed", tensor=name)
    if data_start + end > size:
        raise BadCheckpoint(path, f"ends at byte {data_start + end}, but the file has {size}", tensor=name)
    if dtype in _ALL and end - start != math.prod(shape) * _ALL[dtype].itemsize:
        raise BadCheckpoint(path, f"{end - start} bytes cannot be {dtype}{list(shape)}", tensor=name)
    contents = _InFile(path, data_start + start, name)
    return StoredTensor(name, path, dtype, shape, contents, end - start, on_read)


def _in_store(
    folder: Path, wanted: Callable[[str], bool], on_read: Callable[[int], None]
) -> dict[str, StoredTensor]:
    """The wanted tensors that a manifest names; their chunks need not be there until they are read."""
    path = folder / chunked.MANIFEST
    reader = ChunkReader(folder)
    found = {}
    for entry in chunked.read_manifest(folder).tensors:
        if not wanted(entry.name):
            continue
        if entry.dtype in _ALL and entry.size != math.prod(entry.shape) * _ALL[entry.dtype].itemsize:
            problem = f"{entry.size} bytes cannot be {entry.dtype}{list(entry.shape)}"
            raise BadCheckpoint(path, problem, tensor=entry.name)
        contents = _InChunks(reader, entry.chunks, entry.size)
        found[entry.name] = StoredTensor(
            entry.name, path, entry.dtype, entry.shape, contents, entry.size, on_read
        )
    return found


def read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object of at most `max_bytes`. Raises `BadCheckpoint`."""
    try:
        with path.open("rb") as file:
            text = file.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise BadCheckpoint(path, f"is larger than {max_bytes} bytes")
        value = json.loads(text)
    except FileNotFoundError as error:
        raise BadCheckpoint(path, "is missing") from error
    except OSError as error:
        raise BadCheckpoint(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(path, "is not JSON") from error
    if not isinstance(value, dict):
        raise BadCheckpoint(path, "is not a JSON object")
    return value
