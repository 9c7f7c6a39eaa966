"""A host is found by whoever knows any node, until it leaves; and where there is no DHT, nothing else suffers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.identity import Identity
from node.finding import Finder, Found
from tests.fakes.deadline import until
from wire.messages.hosting import Offer
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL = ModelId(bytes(32))
LOOPBACK = Address("127.0.0.1", 0)
OFFER = Offer(
    model=MODEL,
    name="pocket",
    layers=LayerRange(0, 4),
    head=False,
    num_layers=24,
    dtype=DType.BFLOAT16,
    max_positions=4096,
    free_kv_bytes=1 << 20,
    sessions=0,
    step_us=0,
)


def identity(number: int) -> Identity:
    return Identity.from_seed(bytes([number]) * 32)


def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def finder(
    number: int,
    *contacts: Address,
    listen: Address = LOOPBACK,
    serves: bool | None = None,
    network: str = "main",
) -> AsyncIterator[Finder]:
    made = Finder(identity(number), network, cache=None, serves=serves)
    await made.start([listen], contacts)
    try:
        yield made
    finally:
        await made.close()


async def test_hosts_are_found_by_who_knows_one_node_and_not_once_they_left() -> None:
    first, second = Address("127.0.0.1", port()), Address("127.0.0.1", port())
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(finder(1, listen=first))
        b = await stack.enter_async_context(finder(2, first, listen=second))
        asking = await stack.enter_async_context(finder(3, first, serves=False))
        b.announce([OFFER, replace(OFFER, layers=LayerRange(8, 12))])
        a.announce([replace(OFFER, layers=LayerRange(4, 8))])

        # Addresses are proven and announced in the background.
        async with asyncio.timeout(30):
            while len(await asking.slices(MODEL)) < 3:  # noqa: ASYNC110 - asks the swarm each time
                await asyncio.sleep(0.05)
        assert {(one.peer, str(one.layers)) for one in await asking.slices(MODEL)} == {
            (identity(1).peer_id, "4:8"),
            (identity(2).peer_id, "0:4"),
            (identity(2).peer_id, "8:12"),
        }
        assert sorted(await asking.hosts(MODEL), key=str) == sorted(
            [Found(identity(1).peer_id, (first,)), Found(identity(2).peer_id, (second,))], key=str
        )
        assert {(one.name, one.model) for one in await asking.models()} == {("pocket", MODEL)}
        await b.withdraw()
        assert [one.peer for one in await asking.hosts(MODEL)] == [identity(1).peer_id]


async def test_networks_do_not_see_each_other() -> None:
    first = Address("127.0.0.1", port())
    async with finder(1, listen=first), finder(2, first, network="ours") as other:
        assert not await other.joined(0.5)
        assert await other.hosts(MODEL) == []


async def test_a_port_that_is_taken_costs_the_dht_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        async with finder(1, listen=Address("127.0.0.1", taken.getsockname()[1])) as closed:
            assert not closed.is_open
            closed.announce([OFFER])
            await closed.withdraw()
            assert await closed.hosts(MODEL) == []
            assert not await closed.joined()
    assert "not found by the DHT" in caplog.text


async def test_nodes_are_remembered_for_the_next_start(tmp_path: Path) -> None:
    first = Address("127.0.0.1", port())
    async with finder(1, listen=first, serves=True):
        made = Finder(identity(2), "main", cache=tmp_path / "dht", serves=False)
        await made.start([LOOPBACK], [first])
        assert await made.joined(10)
        await made.close()
        again = Finder(identity(2), "main", cache=tmp_path / "dht", serves=False)
        await again.start([LOOPBACK])
        assert await again.joined(10)
        await again.close()
    await until(lambda: not again.is_open)
