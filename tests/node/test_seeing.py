"""The figures of a host are those of its parts, and its page says when it is not ready."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from node.config import NodeConfig
from node.controlling import Controlling, Parts
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.presence import Presence
from node.seeing import Seeing, metrics_of, open_pages
from node.sight.logs import Logs
from node.sight.watch import Watch
from tests.fakes.serving import ME, Table
from tests.node.test_controlling import Hands, Present, m
from tests.node.test_traffic import traffic_of
from wire.types import Address


class Bench:
    """A host without a network, and what is seen of it."""

    def __init__(self, tmp_path: Path) -> None:
        table = Table()
        present = Present()
        present.dht_counts = {"requests": 5, "forged": 2, "muted": 1}  # type: ignore[attr-defined]  # a fake's
        present.dht_announced, present.dht_stored = 6, 7  # type: ignore[attr-defined]  # a fake's
        self.keeper: Any = Keeper(Hands(table), IntentFile(tmp_path / "intents.json"))
        self.parts = Parts(
            me=ME,
            config=NodeConfig(slices=()),
            host=table.host,
            keeper=self.keeper,
            presence=cast(Presence, present),
            budget=table.budget,
            traffic=traffic_of(tmp_path),
        )
        self.logs = Logs(io.StringIO())
        self.commands = Controlling(self.parts, asyncio.Event(), self.logs.ring)
        self.seeing = Seeing(self.parts, self.commands)
        self.watch = Watch(cast(Any, table.compute))
        self.metrics = metrics_of(self.parts, self.seeing, self.watch, self.logs)

    async def join(self) -> None:
        async def tell(_: object) -> None:
            """Progress is not looked at."""

        handlers = cast("dict[str, Any]", self.commands.handlers())
        await handlers["join"](m(0, 2), tell)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    async with made.keeper:
        await made.keeper.recover([])
        yield made


async def test_facts_are_those_of_the_parts(bench: Bench) -> None:
    assert (bench.seeing.hosting().state, dict(bench.seeing.hosting().slices)) == ("starting", {})
    bench.commands.is_ready = True
    await bench.join()
    hosting = bench.seeing.hosting()
    assert (hosting.state, dict(hosting.slices)) == ("serving", {"serving": 1})
    more = asyncio.create_task(asyncio.sleep(60))
    assert bench.seeing.hosting().tasks == (hosting.tasks or 0) + 1
    more.cancel()
    assert bench.seeing.sessions().open == 0
    dht = bench.seeing.dht()
    assert dht is not None
    assert (dht.contacts, dht.requests, dht.refused) == (3, 5, 3)
    assert (dht.announced, dht.stored) == (6, 7)
    links = bench.seeing.links()
    assert (links.round_trip_max_s, links.sent_bytes, links.received_bytes) == (None, 11, 12)
    weights = bench.seeing.weights()
    assert weights is not None
    assert (weights.given_bytes, weights.fetched_bytes) == (0, {"hub": 0, "peer": 0})
    assert bench.seeing.rates().upload_bytes_per_s is None
    assert bench.seeing.relay() is None
    assert bench.seeing.memory().kv_used_bytes == 0
    values = bench.metrics.values()
    assert values["lamella_sessions_open"] == 0
    assert values["lamella_weights_given_bytes_total"] == 0
    assert "lamella_upload_limit_bytes_per_second" not in values
    bench.parts.traffic.pacer.limit(upload_bytes_per_s=5e5, download_bytes_per_s=None)
    assert bench.metrics.values()["lamella_upload_limit_bytes_per_second"] == 5e5


async def test_the_page_says_when_it_is_not_ready(bench: Bench) -> None:
    server = await open_pages(Address("127.0.0.1", 0), bench.seeing, bench.metrics, bench.watch)
    socket = cast(Any, server)._socket.sockets[0]
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    async with aiohttp.ClientSession() as session:

        async def status(page: str) -> int:
            async with session.get(f"{url}/{page}") as answer:
                await answer.read()
                return answer.status

        assert await status("ready") == 503
        bench.commands.is_ready = True
        await bench.join()
        assert await status("ready") == 200
        assert await status("health") == 200
        assert await status("metrics") == 200
    await server.close()
    assert replace(bench.seeing.hosting(), uptime_s=0.0).state == "serving"
