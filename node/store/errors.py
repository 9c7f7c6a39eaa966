"""What can be wrong with a checkpoint on disk.

NodeError
└── StoreError            each message names the file and the next step
    ├── UnknownModel      the name is neither a packaged model nor a folder
    └── BadCheckpoint     the folder is not a complete, readable safetensors checkpoint
"""

from node.errors import NodeError


class StoreError(NodeError):
    """A checkpoint cannot be used."""


class UnknownModel(StoreError):
    """The model named is not on this machine."""


class BadCheckpoint(StoreError):
    """A checkpoint is incomplete, corrupt or in a format that is not accepted."""
