"""What is shown of a swarm: to people in lines, to scripts as JSON, and an error in either form."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from chat import lookout
from chat.driver import ClientOptions
from chat.errors import HostUnreachable
from chat.lookout import LookOptions, look
from crypto.identity import Identity
from node.finding import Finder
from tests.fakes.deadline import until
from wire.contacts import Contact
from wire.messages.hosting import Offer
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

OFFER = Offer(
    model=ModelId(bytes(32)),
    name="pocket",
    layers=LayerRange(1, 12),
    head=False,
    num_layers=24,
    dtype=DType.BFLOAT16,
    max_positions=4096,
    free_kv_bytes=1 << 20,
    sessions=3,
    step_us=2_500,
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
async def swarm() -> AsyncIterator[Address]:
    """Two hosts of one model that know each other; the address of one of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        first = Address("127.0.0.1", probe.getsockname()[1])
    hosts = [Finder(Identity.from_seed(bytes([one]) * 32), "main", cache=None, serves=None) for one in (1, 2)]
    await hosts[0].start([first])
    await hosts[1].start([Address("127.0.0.1", 0)], [first])
    hosts[0].announce([OFFER])
    hosts[1].announce([replace(OFFER, layers=LayerRange(14, 24), head=True)])
    async with asyncio.timeout(30):
        while len(await hosts[1].slices(OFFER.model)) < 2:  # noqa: ASYNC110 - asks the swarm each time
            await asyncio.sleep(0.05)
    yield first
    for host in hosts:
        await host.close()


def options(contact: Address) -> ClientOptions:
    return ClientOptions(model="pocket", contacts=(Contact(address=contact),))


async def seen(contact: Address, what: str, *, as_json: bool = False) -> str:
    out = io.StringIO()
    await look(options(contact), LookOptions(what=what, json=as_json), out=out)
    return out.getvalue()


async def test_models_are_listed_with_what_is_missing(swarm: Address) -> None:
    text = await seen(swarm, lookout.MODELS)
    assert "24 layers, 2 hosts: nobody has layers 12:14" in text
    assert "\n  .11111111111..1111111111\n" in text
    (model,) = json.loads(await seen(swarm, lookout.MODELS, as_json=True))["models"]
    assert (model["name"], model["whole"], model["gaps"]) == ("pocket", False, ["0:1", "12:14"])
    assert (model["front_layers"], model["hosts"], model["sessions"]) == (1, 2, 6)


async def test_peers_are_listed_with_what_they_serve(swarm: Address) -> None:
    text = await seen(swarm, lookout.PEERS)
    assert str(swarm) in text
    assert "pocket 14:24, head  bf16, 3 sessions, 2.5 ms a token" in text
    peers = json.loads(await seen(swarm, lookout.PEERS, as_json=True))["peers"]
    assert {one["slices"][0]["layers"] for one in peers} == {"1:12", "14:24"}


async def test_watching_looks_again_until_it_is_ended(
    swarm: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "WATCH_S", 0.01)
    out = io.StringIO()
    task = asyncio.create_task(
        look(options(swarm), LookOptions(what=lookout.PEERS, json=True, watch=True), out=out)
    )
    await until(lambda: out.getvalue().count("\n") >= 2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert all(json.loads(line)["peers"] for line in out.getvalue().splitlines())


async def test_a_swarm_that_does_not_answer_is_told() -> None:
    out = io.StringIO()
    with pytest.raises(HostUnreachable, match="nothing listens at"):
        await look(options(Address("127.0.0.1", 9)), LookOptions(what=lookout.MODELS, json=True), out=out)
    assert "nothing listens at" in out.getvalue()
