"""What can go wrong with a slice.

SliceError
├── UnsupportedModel      the family, or something its config asks for, is not on the proven list
├── BadCheckpoint         the files are not what a checkpoint must be; names the file, and the tensor where there is one
│   ├── PickleWeights     the weights are stored as pickles, which are programs
│   ├── DamagedChunk      a chunk of the store is not what its name says, or is not there
│   └── MissingTensor     a tensor the slice needs is not there
├── InvalidSlice          the layers or ends asked for do not exist in this model or this slice
├── BadInput              a forward was given a tensor of the wrong shape, dtype or position
├── ContextFull           the session would pass the model's longest context
├── TruncatedTooFar       a sliding-window cache no longer holds what that position needs
├── CacheBroken           an earlier forward failed half way; the session must start again
├── ForwardFailed         the processor could not do the forward
├── NotFinite             a tensor or logits hold NaN or infinity
├── OutOfMemoryBudget     the KV budget cannot take the session
├── WrongThread           a slice was used by a thread that did not load it
└── ComputeStopped        the compute thread is not running
"""

from __future__ import annotations

from pathlib import Path


class SliceError(Exception):
    """A slice could not be loaded or run."""


class UnsupportedModel(SliceError):
    """The model is of a kind this program does not run, because its slices are not proven exact."""

    def __init__(self, model_type: str, reason: str) -> None:
        super().__init__(f"cannot run model type {model_type!r}: {reason}")
        self.model_type = model_type
        self.reason = reason


class BadCheckpoint(SliceError):
    """A checkpoint's file is missing, damaged or not of the expected form."""

    def __init__(self, path: Path, problem: str, *, tensor: str | None = None, next_step: str = "") -> None:
        what = f"{path}: tensor {tensor}" if tensor is not None else f"{path}"
        advice = next_step or "download the checkpoint again"
        super().__init__(f"{what}: {problem}; {advice}")
        self.path = path
        self.tensor = tensor
        self.problem = problem


class PickleWeights(BadCheckpoint):
    """The folder has weights only as pickles; loading one would run the program inside it."""


class DamagedChunk(BadCheckpoint):
    """A chunk of the store is damaged; fetching it again repairs the model."""

    def __init__(self, path: Path, digest: bytes, problem: str) -> None:
        super().__init__(path, problem, next_step="run `lamella-node models --repair`")
        self.digest = digest


class MissingTensor(BadCheckpoint):
    """A tensor that the slice needs is not in the checkpoint."""


class InvalidSlice(SliceError):
    """The layers or ends asked for are not there."""


class BadInput(SliceError):
    """A forward was asked for with an input that does not fit."""


class ContextFull(SliceError):
    """The session has reached the longest context of the model."""

    def __init__(self, positions: int, max_positions: int) -> None:
        super().__init__(
            f"{positions} positions are more than the {max_positions} of this model; start a new conversation"
        )
        self.positions = positions
        self.max_positions = max_positions


class TruncatedTooFar(SliceError):
    """A sliding-window cache has dropped positions that this truncation needs back; replay from the start."""

    def __init__(self, length: int, reachable: int) -> None:
        super().__init__(f"cannot truncate to {length}: only {reachable} and up, or 0, are still exact")
        self.length = length
        self.reachable = reachable


class CacheBroken(SliceError):
    """A forward failed half way, so the cache's contents are undefined; open a new session."""


class ForwardFailed(SliceError):
    """A forward failed while it ran, as when memory runs out; its cache is broken."""


class NotFinite(SliceError):
    """A tensor holds NaN or infinity."""


class OutOfMemoryBudget(SliceError):
    """The memory set aside for KV caches cannot take the session."""

    def __init__(self, wanted_bytes: int, free_bytes: int) -> None:
        super().__init__(f"{wanted_bytes} bytes of KV cache wanted, {free_bytes} free")
        self.wanted_bytes = wanted_bytes
        self.free_bytes = free_bytes


class WrongThread(SliceError):
    """A slice may be used only by the thread that loaded it, one forward at a time."""


class ComputeStopped(SliceError):
    """The compute thread is not running."""
