"""Checkpoint folders written byte by byte, so that each byte can be wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

BYTES_OF: Final = {"F32": 4, "BF16": 2, "U8": 1}


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    """One tensor's description in a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def write_raw(path: Path, header: bytes, data: bytes = b"", *, length: int | None = None) -> Path:
    """Write a safetensors file of these very bytes, claiming a header of `length` bytes when given."""
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def write_shard(path: Path, tensors: Mapping[str, bytes]) -> Path:
    """Write a sound safetensors file of byte tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, data in tensors.items():
        header[name] = entry("U8", [len(data)], at, at + len(data))
        at += len(data)
    return write_raw(path, json.dumps(header).encode(), b"".join(tensors.values()))


def write_index(folder: Path, weight_map: object) -> Path:
    """Write `model.safetensors.index.json`."""
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": weight_map}))
    return path


def write_checkpoint(folder: Path, *shards: Mapping[str, bytes]) -> Path:
    """Write a sound checkpoint, in one file or in as many shards as are given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"num_hidden_layers": 2}')
    if len(shards) == 1:
        write_shard(folder / "model.safetensors", shards[0])
        return folder
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_shard(folder / name, tensors)
        weight_map |= dict.fromkeys(tensors, name)
    write_index(folder, weight_map)
    return folder
