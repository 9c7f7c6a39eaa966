"""What is asked of the DHT comes once, newest last, over all keys that may have it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.digest import sha256
from node.dht.node import DhtNode
from node.dht.seeking import Seeker
from scripts.dht_world.clock import run
from scripts.dht_world.trials import MODEL, announce, record_of
from scripts.dht_world.world import NETWORK, Weather, World
from wire import limits
from wire.records import IndexRecord, Lifetime, Record, RecordState, sign_record
from wire.types import LayerRange, ModelId


def network() -> World:
    world = World(Weather(round_trip_s=0.02, spread=0.1, loss=0.0))
    for _ in range(30):
        world.add()
    world.settle()
    return world


async def publish(node: DhtNode, record: Record) -> None:
    await node.publish(sign_record(record, node.protocol.identity, NETWORK), record)


def test_all_hosts_of_a_model_come_once() -> None:
    async def main() -> None:
        world = network()
        await announce(world, world.nodes[:8], 1)
        found = [record async for record in Seeker(world.nodes[20]).slices(MODEL, None)]
        assert len(found) == len({record.host for record in found}) == 8

    run(main())


def test_what_was_taken_back_is_not_told() -> None:
    async def main() -> None:
        world = network()
        host = world.nodes[0]
        await announce(world, world.nodes[:2], 1)
        record = record_of(host, world.where(host), sequence=2, now=int(world.wall()))
        await publish(host, replace(record, state=RecordState.WITHDRAWN, addresses=()))
        found = [one async for one in Seeker(world.nodes[20]).slices(MODEL, None)]
        serving = {one.host for one in found if one.state is RecordState.SERVING}
        assert serving - {one.host for one in found if one.state is RecordState.WITHDRAWN} == {
            world.nodes[1].protocol.identity.public_key
        }

    run(main())


def test_a_popular_model_is_sought_by_its_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CROWDED_RECORDS", 3)

    async def main() -> None:
        world = network()
        hosts = world.nodes[:3]
        await announce(world, hosts, 1)
        hidden = world.nodes[5]
        record = record_of(hidden, world.where(hidden), sequence=1, now=int(world.wall()))
        await publish(hidden, replace(record, shard=2, layers=LayerRange(16, 20), num_layers=40))
        await publish(
            hosts[0], replace(record, host=hosts[0].protocol.identity.public_key, slot=1, num_layers=40)
        )
        whole = [one async for one in Seeker(world.nodes[20]).slices(MODEL, LayerRange(0, 40))]
        assert hidden.protocol.identity.public_key in {one.host for one in whole}
        part = [one async for one in Seeker(world.nodes[20]).slices(MODEL, LayerRange(0, 4))]
        assert hidden.protocol.identity.public_key not in {one.host for one in part}
        assert len([one async for one in Seeker(world.nodes[21]).slices(MODEL, None)]) >= 4

    run(main())


def test_models_of_all_parts_of_the_index_are_told() -> None:
    async def main() -> None:
        world = network()
        models = [ModelId(sha256(bytes([number]))) for number in range(8)]
        now = int(world.wall())
        life = Lifetime(sequence=1, issued=now, expires=now + 600)
        for number, model in enumerate(models):
            host = world.nodes[number]
            key = host.protocol.identity.public_key
            await publish(
                host, IndexRecord(model=model, host=key, name=f"m{number}", num_layers=4, lifetime=life)
            )
        found = [record async for record in Seeker(world.nodes[20]).models()]
        assert {record.model for record in found} == set(models)
        assert len(found) == 8

    run(main())


def test_a_search_that_is_left_early_leaves_no_task_behind() -> None:
    async def main() -> None:
        world = network()
        now = int(world.wall())
        life = Lifetime(sequence=1, issued=now, expires=now + 600)
        for number in range(4):
            host = world.nodes[number]
            model = ModelId(bytes([64 * number]) + bytes(31))
            key = host.protocol.identity.public_key
            await publish(host, IndexRecord(model=model, host=key, name="m", num_layers=4, lifetime=life))
        models = Seeker(world.nodes[20]).models()
        await anext(models)
        await models.aclose()  # type: ignore[attr-defined]  # it is a generator

    run(main())
