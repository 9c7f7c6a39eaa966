"""Where each tensor of a safetensors file lies, read from its header alone.

Format: `u64 little-endian header size | JSON header | tensor bytes` (safetensors README, §Format). The header is
hostile until checked: size, types, ranges, overlaps, gaps, and names and shapes that a manifest can hold.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.store.errors import BadCheckpoint

LENGTH_BYTES: Final = 8
"""At the beginning of a file: how long its header is."""
MAX_HEADER_BYTES: Final = 100_000_000
"""Security limit, the same as the reference implementation's."""
MAX_NAME_CHARS: Final = 512
MAX_RANK: Final = 8
MAX_DIMENSION: Final = 1 << 48
"""With the two before: the most that a manifest describes (`wire.manifest`)."""
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlace:
    """One tensor's type, shape and place in its file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """Offset of its first byte from the beginning of the file."""
    size: int


def read_header(path: Path) -> tuple[TensorPlace, ...]:
    """Return the tensors of a file in the order of their bytes. Raises `BadCheckpoint`."""
    try:
        # Before opening: to open a pipe waits for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadCheckpoint(f"{path} is not a regular file", "put the safetensors file in its place")
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            length = header_bytes(path, file.read(LENGTH_BYTES), total)
            text = file.read(length)
    except OSError as error:
        raise BadCheckpoint(
            f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
        ) from error
    return parse_header(path, text, total)


def header_bytes(path: Path | str, prefix: bytes, total: int) -> int:
    """Return how many bytes of JSON follow the first `LENGTH_BYTES` of a file. Raises `BadCheckpoint`.

    Args:
        path: what to call the file.
        prefix: its first `LENGTH_BYTES`, or all of a shorter file.
        total: its size in bytes.
    """
    if len(prefix) < LENGTH_BYTES:
        raise BadCheckpoint(f"{path} is too short to be a safetensors file", "fetch it again")
    (length,) = struct.unpack("<Q", prefix)
    if not 2 <= length <= min(MAX_HEADER_BYTES, total - LENGTH_BYTES):
        raise BadCheckpoint(f"{path} claims a header of {length} bytes", "fetch it again")
    return int(length)


def parse_header(path: Path | str, text: bytes, total: int) -> tuple[TensorPlace, ...]:
    """Return the tensors that a header describes, in the order of their bytes. Raises `BadCheckpoint`.

    Args:
        path: what to call the file.
        text: the header's JSON.
        total: the file's size in bytes.
    """
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(
            f"the header of {path} is not JSON, or names something twice", "fetch the file again"
        ) from error
    if not isinstance(header, dict):
        raise BadCheckpoint(f"the header of {path} is not a map", "fetch the file again")
    base = LENGTH_BYTES + len(text)
    places = [_place(path, name, entry, base) for name, entry in header.items() if name != "__metadata__"]
    places.sort(key=lambda place: (place.start, place.size))
    at = base
    for place in places:
        if place.start != at:
            raise BadCheckpoint(
                f"tensor {place.name} of {path} overlaps another or leaves a gap", "fetch the file again"
            )
        at += place.size
    if at != total:
        raise BadCheckpoint(
            f"{path} has {total} bytes where its header describes {at}", "fetch the file again"
        )
    return tuple(places)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a map, refusing a key that comes twice: readers would disagree on which of the two counts."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key comes twice")
    return entries


def _place(path: Path | str, name: str, entry: Any, base: int) -> TensorPlace:
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise BadCheckpoint(
            f"{path} has a tensor without a usable name: {name[:40]!r}", "fetch the file again"
        )
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        bits = _BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            f"tensor {name!r} of {path} is described wrongly", "fetch the file again"
        ) from error
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_size, (*shape, start, end))):
        raise BadCheckpoint(f"tensor {name!r} of {path} is described wrongly", "fetch the file again")
    if math.prod(shape) * bits != (end - start) * 8:
        raise BadCheckpoint(
            f"tensor {name!r} of {path} does not have the bytes its shape needs", "fetch the file again"
        )
    return TensorPlace(name=name, dtype=dtype, shape=tuple(shape), start=base + start, size=end - start)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_DIMENSION
