"""What can be wrong with a checkpoint on disk, with the store of chunks, and with where chunks come from.

NodeError
└── StoreError            each message names the file and the next step
    ├── UnknownModel      the name is neither a packaged model nor a folder
    ├── BadCheckpoint     the folder is not a complete, readable safetensors checkpoint
    ├── StoreUnusable     the store's folder cannot be read or written
    │   └── DiskFull      there is no room on its disk
    ├── StoreBusy         another process holds the store for too long
    ├── QuotaExceeded     what is wanted does not fit beside what is in use
    ├── CorruptChunk      a chunk in the store is not what its name says
    ├── WrongBytes        what a source sent is not what was asked for
    ├── NotFetched        no source is left that would deliver the rest
    └── SourceFailed      a source did not deliver (`node.store.source`)
"""

from __future__ import annotations

import errno
from pathlib import Path

from node.errors import NodeError


class StoreError(NodeError):
    """A checkpoint cannot be used."""


class UnknownModel(StoreError):
    """The model named is not on this machine."""


class BadCheckpoint(StoreError):
    """A checkpoint is incomplete, corrupt or in a format that is not accepted."""


class StoreUnusable(StoreError):
    """The folder of the store cannot be read or written."""


class DiskFull(StoreUnusable):
    """The disk of the store has no room."""


class StoreBusy(StoreError):
    """Another process holds the store for too long."""


class QuotaExceeded(StoreError):
    """What is wanted does not fit into the store beside what is in use."""


class CorruptChunk(StoreError):
    """A chunk in the store is not what its name says, or is not there."""

    def __init__(self, path: Path, digest: bytes, problem: str) -> None:
        super().__init__(
            f"{path} {problem}",
            "start the host again, which fetches it anew, or run `lamella-node models --repair`",
        )
        self.path = path
        self.digest = digest


class WrongBytes(StoreError):
    """Bytes that do not have the digest they were asked for by."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"what came for {name} is not what the manifest names", "fetch it from another source"
        )


def unusable(path: Path, error: OSError) -> StoreUnusable:
    """What a person is told of a failed operation on the store's files."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"there is no room left on the disk of {path.parent}", "make room, or move the store")
    return StoreUnusable(
        f"{path} cannot be used ({error.strerror or error})",
        "check the folder, its owner and its permissions",
    )


class NotFetched(StoreError):
    """Some chunks could not be had from any source; what came is kept.

    Attributes:
        missing: how many.
    """

    def __init__(self, cause: str, next_step: str, *, missing: int) -> None:
        super().__init__(cause, next_step)
        self.missing = missing
