"""Keeping what this host serves known: new records before the old expire, and their withdrawal when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from crypto.identity import Identity
from node.dht.node import DhtNode, Published
from wire import limits
from wire.dht_messages import Outcome
from wire.records import (
    WHOLE_MODEL,
    IndexRecord,
    Lifetime,
    Record,
    RecordState,
    Relay,
    SliceRecord,
    block_shards,
    sign_record,
)
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId

AT_ONCE: Final = 4
"""Records announced at one time."""
JITTER: Final = 0.2
"""How far from a third of the lifetime an announcement may be, so that hosts do not all announce together."""
RETRY_S: Final = 5.0
"""How soon an announcement that nobody kept is tried again."""
CLOCK_OFF_S: Final = 60.0
"""The difference to other clocks from which a person is told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceOffer:
    """A slice as the host describes it; `wire.records.SliceRecord` says what the fields mean."""

    model: ModelId
    name: str
    layers: LayerRange
    head: bool
    num_layers: int
    dtype: DType
    weights: WeightFormat = WeightFormat.NATIVE
    tokens_until: int = 0
    max_positions: int = 0
    free_kv_bytes: int = 0
    sessions: int = 0
    step_us: int = 0

    @property
    def what(self) -> tuple[ModelId, LayerRange, bool]:
        """What makes two offers the same slice."""
        return (self.model, self.layers, self.head)


@dataclass(frozen=True, slots=True)
class Ways:
    """How this host is reached: nothing that is not proven."""

    addresses: tuple[Address, ...] = ()
    relays: tuple[Relay, ...] = ()


class Announcer:
    """The records of one host."""

    def __init__(self, node: DhtNode, identity: Identity, ways: Callable[[], Ways]) -> None:
        self._node = node
        self._identity = identity
        self._ways = ways
        self._offers: tuple[SliceOffer, ...] = ()
        self._slots: dict[tuple[ModelId, LayerRange, bool], int] = {}
        self._published: dict[bytes, Record] = {}
        """By key and place, what was announced last."""
        self._crowded: set[ModelId] = set()
        self._sequence = 0
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()
        self.notice: Callable[[str], None] = lambda _: None
        """Called with a sentence for the person who runs this host."""

    @property
    def announced(self) -> int:
        """Records that were published last and not withdrawn."""
        return sum(record.state is RecordState.SERVING for record in self._published.values())

    def offer(self, offers: Iterable[SliceOffer]) -> None:
        """Announce exactly these from now on."""
        self._offers = tuple(offers)[: limits.MAX_SLICES_PER_PEER]
        self.hurry()

    def hurry(self) -> None:
        """Announce at once: something has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            self._changed.clear()
            kept = await self.announce()
            draw = int.from_bytes(self._node.protocol.random(2), "big") / 65_535
            pause = limits.RECORD_TTL_SECONDS / 3 * (1 + JITTER * (2 * draw - 1)) if kept else RETRY_S
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def announce(self) -> bool:
        """Publish all records now and withdraw what is no longer offered; return whether each is where it is sought."""
        async with self._busy:
            wanted = self._records()
            gone = {
                name: record
                for name, record in self._published.items()
                if name not in wanted and record.state is RecordState.SERVING
            }
            for name in gone:
                del self._published[name]
            reports = await self._publish([*map(self._withdrawn, gone.values()), *wanted.values()])
            self._published |= wanted
            self._judge(reports)
            # Where there is no room others say the same of the model, or the slice is found by its blocks.
            return all(one.stored or one.outcomes[Outcome.FULL] for one in reports)

    async def withdraw(self) -> None:
        """Take everything back: a newer, empty record in the place of each."""
        self._offers = ()
        await self.announce()

    def _records(self) -> dict[bytes, Record]:
        """What is to be published now, by key and place."""
        ways = self._ways()
        if not (ways.addresses or ways.relays):
            return {}
        records: list[Record] = []
        for offer in self._offers:
            shards = (WHOLE_MODEL, *(block_shards(offer.layers) if offer.model in self._crowded else ()))
            records += [self._slice(offer, ways, shard) for shard in shards]
        for offer in {one.model: one for one in self._offers}.values():
            name = _short(offer.name)
            if name:
                records.append(
                    IndexRecord(
                        model=offer.model,
                        host=self._identity.public_key,
                        name=name,
                        num_layers=offer.num_layers,
                        lifetime=self._lifetime(),
                    )
                )
        network = self._node.protocol.network
        return {one.key(network).raw + one.place: one for one in records}

    def _slice(self, offer: SliceOffer, ways: Ways, shard: int) -> SliceRecord:
        return SliceRecord(
            model=offer.model,
            host=self._identity.public_key,
            shard=shard,
            slot=self._slot(offer),
            layers=offer.layers,
            head=offer.head,
            num_layers=offer.num_layers,
            tokens_until=offer.tokens_until,
            addresses=ways.addresses[: limits.MAX_RECORD_ADDRESSES - len(ways.relays)],
            relays=ways.relays[: limits.MAX_RECORD_RELAYS],
            lifetime=self._lifetime(),
            dtype=offer.dtype,
            weights=offer.weights,
            max_positions=offer.max_positions,
            free_kv_bytes=offer.free_kv_bytes,
            sessions=offer.sessions,
            step_us=offer.step_us,
        )

    def _slot(self, offer: SliceOffer) -> int:
        """A number that this slice keeps as long as it is offered."""
        offered = {one.what for one in self._offers}
        self._slots = {what: slot for what, slot in self._slots.items() if what in offered}
        if offer.what not in self._slots:
            self._slots[offer.what] = min(set(range(limits.MAX_SLICES_PER_PEER)) - set(self._slots.values()))
        return self._slots[offer.what]

    def _lifetime(self) -> Lifetime:
        """From now on, with a sequence above all before, also when the clock was set back since."""
        now = self._node.protocol.wall()
        self._sequence = max(self._sequence + 1, int(now * 1_000_000))
        return Lifetime(
            sequence=self._sequence, issued=int(now), expires=int(now) + limits.RECORD_TTL_SECONDS
        )

    def _withdrawn(self, record: Record) -> Record:
        if isinstance(record, IndexRecord):
            return replace(record, state=RecordState.WITHDRAWN, lifetime=self._lifetime())
        return replace(
            record, state=RecordState.WITHDRAWN, addresses=(), relays=(), lifetime=self._lifetime()
        )

    async def _publish(self, records: Sequence[Record]) -> list[Published]:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(record: Record) -> Published:
            async with places:
                data = sign_record(record, self._identity, self._node.protocol.network)
                report = await self._node.publish(data, record)
                if isinstance(record, SliceRecord) and record.shard == WHOLE_MODEL:
                    crowded = report.crowd >= limits.CROWDED_RECORDS
                    (self._crowded.add if crowded else self._crowded.discard)(record.model)
                return report

        return list(await asyncio.gather(*(one(record) for record in records)))

    def _judge(self, reports: Sequence[Published]) -> None:
        """Tell the person what they can mend."""
        untimely = [one for one in reports if one.outcomes[Outcome.UNTIMELY] > one.stored]
        if untimely:
            ahead = untimely[0].clock_ahead_s
            direction = "ahead of" if ahead > 0 else "behind"
            self.notice(
                f"this machine's clock is {abs(ahead):.0f} s {direction} those of other nodes, which refuse what it "
                "announces; set the clock, for example with `timedatectl set-ntp true`"
            )
        elif any(one.outcomes[Outcome.STALE] > one.stored for one in reports):
            self.notice(
                "another machine announces with this identity; give each machine an identity of its own by deleting "
                "the identity file of one of them"
            )


def _short(name: str) -> str:
    """A name as an index record takes it: printable, and cut where it is too long."""
    text = "".join(one for one in name if one.isprintable())
    return text.encode(errors="ignore")[: limits.MAX_RECORD_NAME_BYTES].decode(errors="ignore")
