"""Imports what the two programs import, by running a step of the pocket model, so that its byte code lies on disk.

    env -u PYTHONDONTWRITEBYTECODE python -m scripts.warm_up

`provision.sh` runs it last. Byte code that is missing, and that an environment variable keeps from being written, would
be made again by every process: compiling the part of torch and transformers that is used takes longer than running it.
It also shows that what was installed works on this machine.
"""

from __future__ import annotations

import chat.cli
import chat.tui.app
import node.cli
import node.daemon
from node.slices import tensors, threads
from node.slices.load import load_slice
from node.slices.spec import SliceSpec, Want
from node.store import checkpoint
from wire.types import LayerRange

PROGRAMS = (chat.cli, chat.tui.app, node.cli, node.daemon)
"""What is imported for its byte code alone."""


def main() -> None:
    """Run one token through one layer."""
    threads.prepare(1)
    layers = LayerRange(0, 1)
    held = load_slice(SliceSpec(checkpoint=checkpoint.resolve(checkpoint.POCKET), layers=layers, embed=True))
    held.forward(tensors.from_ids([1]), cache=held.new_cache(layers), position=0, want=Want.HIDDEN)


if __name__ == "__main__":
    main()
