"""What can be wrong with a checkpoint on disk.

NodeError
└── StoreError            each message names the file and the next step
    ├── UnknownModel      the name is neither a packaged model nor a folder
    ├── BadCheckpoint     the folder is not a complete, readable safetensors checkpoint
    ├── WrongBytes        what came as a chunk is not what its digest names
    └── NotFetched        no source is left that would deliver the rest
"""

from node.errors import NodeError


class StoreError(NodeError):
    """A checkpoint cannot be used."""


class UnknownModel(StoreError):
    """The model named is not on this machine."""


class BadCheckpoint(StoreError):
    """A checkpoint is incomplete, corrupt or in a format that is not accepted."""


class WrongBytes(StoreError):
    """What a source sent as a chunk is not what its digest names."""


class NotFetched(StoreError):
    """Some chunks could not be had from any source; what came is kept.

    Attributes:
        missing: how many.
    """

    def __init__(self, cause: str, next_step: str, *, missing: int) -> None:
        super().__init__(cause, next_step)
        self.missing = missing
