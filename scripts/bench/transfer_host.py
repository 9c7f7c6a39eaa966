"""A process that serves the chunks of one large file to `scripts.bench.transfer`: honestly, or as it should not.

    python -m scripts.bench.transfer_host FOLDER BEHAVIOUR

The folder holds `data` and `manifest`. Once it listens, it prints its address and peer id on one line.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from crypto.identity import Identity
from node.store.share import ShareServer
from node.store.share_auth import OpenGate
from node.store.shelf import Place
from wire.held import distinct
from wire.limits import CHUNK_BYTES
from wire.manifest import Manifest
from wire.types import Address, ModelId

HONEST, LYING, STALLING = "honest", "lying", "stalling"
_STALLS_AFTER = 8
"""Chunks that a stalling host looks up before it never answers again."""


class OneFile:
    """The chunks of one file, in order."""

    def __init__(self, folder: Path, behaviour: str) -> None:
        self._data = folder / "data"
        self._manifest = (folder / "manifest").read_bytes()
        self._order = distinct(Manifest.decode(self._manifest))
        self._numbers = {digest: number for number, digest in enumerate(self._order)}
        self._behaviour = behaviour
        self._asked = 0

    def locate(self, digest: bytes) -> Place | None:
        """Where a chunk is; a liar points to the one after it."""
        self._asked += 1
        if self._behaviour == STALLING and self._asked > _STALLS_AFTER:
            threading.Event().wait()
        number = self._numbers[digest]
        if self._behaviour == LYING:
            number = (number + 1) % len(self._order)
        return Place(path=self._data, offset=number * CHUNK_BYTES, size=CHUNK_BYTES)

    def manifest(self, model_id: ModelId) -> bytes:
        """Of the only model there is."""
        return self._manifest

    def held(self, model_id: ModelId) -> Sequence[bytes]:
        """All."""
        return self._order

    def named(self, name: str) -> None:
        """It has no name."""


async def serve(folder: Path, behaviour: str) -> None:
    """Serve until the process is ended."""
    me = Identity.from_seed(os.urandom(32)).peer_id
    server = ShareServer(OneFile(folder, behaviour), me=me, gate=OpenGate())
    print(await server.start(Address("127.0.0.1", 0)), me, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), sys.argv[2]))
