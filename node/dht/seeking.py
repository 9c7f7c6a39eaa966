"""What is asked of the DHT: the slices of a model, the models there are. Searches of several keys run side by side."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

from node.dht.node import DhtNode
from wire import limits
from wire.endpoints import NodeId
from wire.records import (
    WHOLE_MODEL,
    IndexRecord,
    Record,
    RecordState,
    SliceRecord,
    block_shards,
    index_key,
    slice_key,
)
from wire.types import LayerRange, ModelId

AT_ONCE = 4
"""Keys searched at one time."""


class Seeker:
    """Searches through one node."""

    def __init__(self, node: DhtNode) -> None:
        self._node = node
        self._network = node.protocol.network
        self._told: dict[bytes, Record] = {}
        """Of each place the newest record, over all keys."""

    async def slices(self, model: ModelId, layers: LayerRange | None) -> AsyncIterator[SliceRecord]:
        """The slices of a model, then, if it is popular, those of its blocks."""
        search = await self._node.begin(slice_key(self._network, model, WHOLE_MODEL), records=True)
        async for record in self._node.run(search):
            if isinstance(record, SliceRecord) and self._is_news(record):
                yield record
        if search.crowd() < limits.CROWDED_RECORDS:
            return
        blocks = block_shards(layers or LayerRange(0, self._num_layers()))
        async for record in self._all(slice_key(self._network, model, shard) for shard in blocks):
            if isinstance(record, SliceRecord) and self._is_news(record):
                yield record

    async def models(self) -> AsyncIterator[IndexRecord]:
        """What hosts say of the models they serve."""
        keys = (index_key(self._network, shard) for shard in range(limits.INDEX_SHARDS))
        async for record in self._all(keys):
            if isinstance(record, IndexRecord) and self._is_news(record):
                yield record

    async def _all(self, keys: Iterable[NodeId]) -> AsyncIterator[Record]:
        """The records of several keys, each key's when its search is over."""
        waiting = list(keys)
        tasks: set[asyncio.Task[list[Record]]] = set()
        loop = asyncio.get_running_loop()
        try:
            while waiting or tasks:
                while waiting and len(tasks) < AT_ONCE:
                    tasks.add(loop.create_task(self._records(waiting.pop(0))))
                # Each search has a deadline of its own.
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    for record in task.result():
                        yield record
        finally:
            for task in tasks:
                task.cancel()

    async def _records(self, key: NodeId) -> list[Record]:
        search = await self._node.search(key)
        return [record for _, record in search.records.values()]

    def _is_news(self, record: Record) -> bool:
        """Whether a record says what was not told yet; a withdrawal only of what was."""
        old = self._told.get(record.place)
        if old is not None and old.lifetime.sequence >= record.lifetime.sequence:
            return False
        self._told[record.place] = record
        taken_back = record.state is RecordState.WITHDRAWN
        return not taken_back or (old is not None and old.state is RecordState.SERVING)

    def _num_layers(self) -> int:
        """The length of the model, by most of those who serve it."""
        said = Counter(one.num_layers for one in self._told.values())
        return said.most_common(1)[0][0] if said else 0
