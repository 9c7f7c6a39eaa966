"""A host whose slice gives back what it gets: everything of a hop but the layers. Used by `hop.py`.

The links, the session machine, the compute thread, the tensors' way in and out are those of `lamella-node`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from crypto.identity import Identity
from node.slices import threads
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL = ModelId(bytes(32))
NUM_LAYERS = 64


async def serve(hidden_size: int) -> None:
    """Serve until SIGTERM."""
    import torch

    from node.forward import SessionHost
    from node.hosting import HostedSlice
    from node.slices.budget import KVBudget
    from node.slices.compute import ComputeThread
    from node.slices.slice import Slice
    from node.slices.spec import SliceSpec
    from node.slices.together import Step
    from node.transport.pool import LinkPool

    class Identical:
        """Stands where a `Slice` stands."""

        spec = SliceSpec(checkpoint=Path(), layers=LayerRange(0, NUM_LAYERS), dtype="bfloat16")
        num_layers = NUM_LAYERS
        max_positions = 1 << 24
        tokens_until = 0
        joined = ()

        def __init__(self) -> None:
            self.width = hidden_size

        def needs_tokens(self, layers: LayerRange) -> bool:
            return False

        def new_cache(self, layers: LayerRange) -> object:
            return object()

        def kv_bytes(self, layers: LayerRange, positions: int) -> int:
            return 0

        def forward_all(self, steps: Sequence[Step]) -> list[torch.Tensor]:
            return [step.x for step in steps]

    identity = Identity.from_seed(os.urandom(32))
    compute = ComputeThread(1)
    host = SessionHost(me=identity.peer_id, compute=compute, budget=KVBudget(1))
    pool = LinkPool(
        identity, "bench", "bench", on_message=host.on_message, on_closed=host.on_closed, is_busy=host.is_busy
    )
    host.connect(pool)
    compute.start()
    host.slices = (
        HostedSlice(
            model=MODEL, name="same", dtype=DType.BFLOAT16, slice=cast(Slice, cast(Any, Identical()))
        ),
    )
    address = await pool.listen(Address("127.0.0.1", 0))
    print(
        json.dumps({"event": "ready", "address": str(address), "peer_id": str(identity.peer_id)}), flush=True
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await pool.close()
    await compute.stop()


if __name__ == "__main__":
    threads.prepare(1)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
