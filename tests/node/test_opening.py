"""What a session needs is had before it is ready, and why it cannot be had is told with when to try again."""

from __future__ import annotations

from typing import Any, cast

from node.opening import prepare
from node.running import Running
from node.transport.errors import DialRefused
from tests.fakes.serving import ME, NEXT, Table
from wire.codes import Code
from wire.messages.session import Delivery
from wire.types import Address


async def opened(table: Table, **changes: Any) -> tuple[Running, Any]:
    """A session of a table that is already open, to be prepared once more."""
    await table.open_tail(**changes)
    (run,) = table.host.running
    refusal = await prepare(
        run,
        budget=table.budget,
        compute=cast(Any, table.compute),
        peers=cast(Any, table.peers),
        own=cast(Any, table.host._self),
        hint_ms=lambda: 700,
    )
    return run, refusal


async def test_memory_is_reserved_and_given_a_cache() -> None:
    table = Table()
    run, refusal = await opened(table)
    assert refusal is None
    assert run.cache is not None
    assert table.budget.held(run) > 0
    await table.host.finish(0.0)


async def test_without_memory_the_client_is_told_when_to_come_back() -> None:
    table = Table()
    await table.open_tail()
    (run,) = table.host.running
    table.budget.release(run)
    table.budget.resize(0)
    refusal = await prepare(
        run,
        budget=table.budget,
        compute=cast(Any, table.compute),
        peers=None,
        own=cast(Any, table.host._self),
        hint_ms=lambda: 700,
    )
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_ms) == (Code.NO_MEMORY, 700)
    await table.host.finish(0.0)


async def test_a_next_hop_that_cannot_be_reached_is_named() -> None:
    table = Table()
    await table.open_tail()
    (run,) = table.host.running
    opened = run.machine.opened
    object.__setattr__(opened, "delivery", Delivery.NEXT)
    object.__setattr__(opened, "next_peer", NEXT)
    object.__setattr__(opened, "next_address", Address("127.0.0.1", 1))
    table.peers.unreachable = DialRefused(Address("127.0.0.1", 1), NEXT, "nothing listens there", "check it")
    refusal = await prepare(
        run,
        budget=table.budget,
        compute=cast(Any, table.compute),
        peers=cast(Any, table.peers),
        own=cast(Any, table.host._self),
        hint_ms=lambda: 700,
    )
    assert refusal is not None
    assert (refusal.code, "nothing listens" in refusal.detail) == (Code.NEXT_UNREACHABLE, True)
    assert table.host._self.peer_id == ME
    await table.host.finish(0.0)
