"""A host's records are there as long as it serves, newer each time, and taken back at once when it stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from node.dht.announcing import Announcer, SliceOffer, Ways
from node.dht.node import DhtNode
from scripts.dht_world.clock import run
from scripts.dht_world.trials import KEY, MODEL
from scripts.dht_world.world import NETWORK, Weather, World
from wire import limits
from wire.records import IndexRecord, RecordState, SliceRecord, index_key, index_shard, slice_key
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

OFFER = SliceOffer(
    model=MODEL, name="tiny/model", layers=LayerRange(0, 4), head=False, num_layers=40, dtype=DType.FLOAT32
)
HERE = Address("203.0.113.1", 7311)


class Host:
    """An announcer in a network of thirty."""

    def __init__(self) -> None:
        self.world = World(Weather(round_trip_s=0.02, spread=0.1, loss=0.0))
        for _ in range(30):
            self.world.add()
        self.world.settle()
        self.node = self.world.nodes[0]
        self.seeker = self.world.nodes[20]
        self.ways = Ways((HERE,))
        self.notices: list[str] = []
        self.announcer = Announcer(self.node, self.node.protocol.identity, lambda: self.ways)
        self.announcer.notice = self.notices.append

    async def found(self, node: DhtNode | None = None) -> list[SliceRecord]:
        done = await (node or self.seeker).search(KEY)
        return [record for _, record in done.records.values() if isinstance(record, SliceRecord)]


def test_an_offer_is_found_with_all_it_says_and_in_the_index() -> None:
    async def main() -> None:
        host = Host()
        host.announcer.offer([OFFER])
        assert await host.announcer.announce()
        (record,) = await host.found()
        assert record.addresses == (HERE,)
        assert (record.layers, record.num_layers, record.dtype) == (OFFER.layers, 40, DType.FLOAT32)
        index = await host.seeker.search(index_key(NETWORK, index_shard(MODEL)))
        ((_, entry),) = index.records.values()
        assert isinstance(entry, IndexRecord) and entry.name == "tiny/model"

    run(main())


def test_it_is_announced_again_before_it_expires() -> None:
    async def main() -> None:
        host = Host()
        host.announcer.offer([OFFER])
        task = asyncio.create_task(host.announcer.run())
        await asyncio.sleep(3 * limits.RECORD_TTL_SECONDS)
        (record,) = await host.found()
        assert record.lifetime.issued > host.world.wall() - limits.RECORD_TTL_SECONDS / 2
        task.cancel()
        await asyncio.sleep(limits.RECORD_TTL_SECONDS)
        assert await host.found() == []

    run(main())


def test_what_is_no_longer_offered_is_taken_back() -> None:
    async def main() -> None:
        host = Host()
        second = replace(OFFER, layers=LayerRange(4, 8))
        host.announcer.offer([OFFER, second])
        await host.announcer.announce()
        assert len(await host.found()) == 2
        # Two slices, and the model in the index.
        assert host.announcer.announced == 3
        host.announcer.offer([second])
        await host.announcer.announce()
        states = {record.layers: record.state for record in await host.found()}
        assert states == {OFFER.layers: RecordState.WITHDRAWN, second.layers: RecordState.SERVING}
        await host.announcer.withdraw()
        assert host.announcer.announced == 0
        assert {record.state for record in await host.found()} == {RecordState.WITHDRAWN}

    run(main())


def test_without_a_proven_way_nothing_is_announced_and_a_lost_one_takes_it_back() -> None:
    async def main() -> None:
        host = Host()
        host.ways = Ways()
        host.announcer.offer([OFFER])
        await host.announcer.announce()
        assert await host.found() == []
        host.ways = Ways((HERE,))
        await host.announcer.announce()
        assert len(await host.found()) == 1
        host.ways = Ways()
        await host.announcer.announce()
        assert [record.state for record in await host.found()] == [RecordState.WITHDRAWN]

    run(main())


def test_a_clock_that_is_wrong_by_hours_is_said_with_the_next_step() -> None:
    async def main() -> None:
        host = Host()
        host.node.protocol.wall = lambda: host.world.wall() - 2 * 3600
        host.announcer.offer([OFFER])
        await host.announcer.announce()
        (said, *_) = host.notices
        assert "7200 s behind" in said or "7199 s behind" in said
        assert "set the clock" in said

    run(main())


def test_another_machine_with_the_same_identity_is_said() -> None:
    async def main() -> None:
        host = Host()
        host.announcer.offer([OFFER])
        ahead = Announcer(host.world.nodes[7], host.node.protocol.identity, lambda: Ways((HERE,)))
        ahead._sequence = int(host.world.wall() * 1_000_000) + 10**9
        ahead.offer([replace(OFFER, layers=LayerRange(8, 12))])
        await ahead.announce()
        await host.announcer.announce()
        assert "another machine announces with this identity" in host.notices[0]

    run(main())


def test_a_popular_model_is_announced_by_its_blocks_too() -> None:
    async def main() -> None:
        host = Host()
        host.announcer._crowded.add(MODEL)
        host.announcer.offer([replace(OFFER, layers=LayerRange(10, 20))])
        await host.announcer.announce()
        for shard in (1, 2):
            done = await host.seeker.search(slice_key(NETWORK, MODEL, shard))
            assert len(done.records) == 1
        # There are few after all.
        assert MODEL not in host.announcer._crowded

    run(main())


def test_slots_stay_with_their_slices() -> None:
    async def main() -> None:
        host = Host()
        offers = [replace(OFFER, layers=LayerRange(4 * n, 4 * n + 4)) for n in range(3)]
        host.announcer.offer(offers)
        await host.announcer.announce()
        slots = {record.layers: record.slot for record in await host.found()}
        host.announcer.offer(offers[1:])
        await host.announcer.announce()
        again = {
            record.layers: record.slot for record in await host.found() if record.state is RecordState.SERVING
        }
        assert again == {layers: slot for layers, slot in slots.items() if layers in again}
        assert len(set(slots.values())) == 3

    run(main())


def test_a_name_that_is_long_or_cannot_be_printed_is_cut() -> None:
    async def main() -> None:
        host = Host()
        other = ModelId(bytes(32))
        host.announcer.offer(
            [replace(OFFER, name="é" * 100 + "\n"), replace(OFFER, model=other, name="\n\t")]
        )
        await host.announcer.announce()
        index = await host.seeker.search(index_key(NETWORK, index_shard(MODEL)))
        index.records |= (await host.seeker.search(index_key(NETWORK, index_shard(other)))).records
        names = [record.name for _, record in index.records.values() if isinstance(record, IndexRecord)]
        # A name of which nothing is left is none, and the model is not in the index.
        assert names == ["é" * (limits.MAX_RECORD_NAME_BYTES // 2)]

    run(main())
