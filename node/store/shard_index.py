"""`model.safetensors.index.json`: which tensor of a checkpoint is in which of its files.

Hostile until checked: a name in it becomes the name of a file that is opened, or asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.store.errors import BadCheckpoint

INDEX: Final = "model.safetensors.index.json"
MAX_INDEX_BYTES: Final = 64 * 1024 * 1024
"""Security limit; a model of ten thousand tensors needs a hundredth of it."""


def parse_index(path: Path | str, data: bytes) -> Mapping[str, str]:
    """Return the file of each tensor, every one of them plainly named. Raises `BadCheckpoint`.

    Args:
        path: what to call the index.
        data: its bytes, at most `MAX_INDEX_BYTES` of them.
    """
    try:
        weight_map = json.loads(data)["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadCheckpoint(f"{path} cannot be read as an index", "fetch it again") from error
    if not names:
        raise BadCheckpoint(f"{path} names no file", "fetch it again")
    for name in names:
        if not is_shard(name):
            raise BadCheckpoint(
                f"{path} names {name!r}, which is not a safetensors file beside it",
                "fetch the checkpoint again",
            )
    return dict(weight_map)


def is_shard(name: object) -> bool:
    """Whether this can be the name of a safetensors file, without a folder or anything that hides one."""
    return is_plain(name) and str(name).endswith(".safetensors")


def is_plain(name: object) -> bool:
    """Whether this names a file in a folder, and can name nothing outside of it."""
    return (
        isinstance(name, str)
        and name not in {"", ".", ".."}
        and name.isprintable()
        and Path(name).name == name
    )
