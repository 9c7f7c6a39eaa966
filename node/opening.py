"""Opening a session: its memory is reserved and its next hop reached before the client hears that it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node.correspondents import Loopback, Peers
from node.errors import NodeError
from node.manners.allowance import Refusal
from node.running import Running
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import OutOfMemoryBudget
from wire import limits
from wire.codes import Code


async def prepare(
    run: Running,
    *,
    budget: KVBudget,
    compute: ComputeThread,
    peers: Peers | None,
    own: Loopback,
    hint_ms: Callable[[], int],
) -> Refusal | None:
    """Give a session what it needs; return why it cannot be had, or None.

    Args:
        own: the way to this host itself, which may be the next hop.
        hint_ms: when memory may be free.
    """
    opened = run.machine.opened
    try:
        budget.reserve(run, run.slice.slice.kv_bytes(opened.layers, opened.positions))
        run.cache = await compute.run(run.slice.slice.new_cache, opened.layers)
        if opened.next_peer == own.peer_id:
            run.next = own
        elif opened.next_peer is not None and opened.next_where is not None and peers is not None:
            async with asyncio.timeout(limits.OPEN_TIMEOUT_S / 2):
                run.next = await peers.link_to(opened.next_peer, opened.next_where)
    except OutOfMemoryBudget as error:
        words = f"{error.wanted_bytes} bytes of KV memory are needed, {error.free_bytes} are free"
        return Refusal(Code.NO_MEMORY, words, hint_ms())
    except (NodeError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        return Refusal(Code.NEXT_UNREACHABLE, f"the next hop cannot be reached: {reason}")
    return None
