"""What is tried in a simulated network, and what came of it."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.digest import sha256
from node.dht.node import DhtNode
from scripts.dht_world.world import EPOCH, NETWORK, World
from wire import limits
from wire.records import Lifetime, RecordState, SliceRecord, sign_record, slice_key
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL = ModelId(sha256(b"simulated model"))
KEY = slice_key(NETWORK, MODEL, 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one search found."""

    found: int
    """Living hosts whose newest record was found."""
    wrong: int
    """Records that should not have been told: forged, or of no host."""
    first_s: float | None
    took_s: float
    requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What many searches found."""

    searches: int
    complete: float
    """The part of them that found every living host."""
    found_least: int
    wrong: int
    first_p50_s: float
    took_p50_s: float
    took_p95_s: float
    requests_p50: float
    requests_most: int

    def __str__(self) -> str:
        return (
            f"{self.searches} searches, {100 * self.complete:.1f} % complete (least {self.found_least}), "
            f"{self.wrong} wrong records; first record {self.first_p50_s * 1000:.0f} ms p50, complete "
            f"{self.took_p50_s * 1000:.0f} ms p50 / {self.took_p95_s * 1000:.0f} ms p95; "
            f"{self.requests_p50:g} requests p50, {self.requests_most} at most"
        )


def record_of(node: DhtNode, address: Address, *, sequence: int, now: int) -> SliceRecord:
    """A host's record at some time."""
    return SliceRecord(
        model=MODEL,
        host=node.protocol.identity.public_key,
        layers=LayerRange(0, 4),
        head=False,
        num_layers=8,
        addresses=(address,),
        lifetime=Lifetime(sequence=sequence, issued=now, expires=now + limits.RECORD_TTL_SECONDS),
        dtype=DType.BFLOAT16,
        state=RecordState.SERVING,
    )


async def announce(world: World, hosts: Sequence[DhtNode], sequence: int) -> list[int]:
    """Have hosts publish; return how many nodes keep each record, or say so."""
    stored = []
    for host in hosts:
        record = record_of(host, world.where(host), sequence=sequence, now=int(world.wall()))
        data = sign_record(record, host.protocol.identity, NETWORK)
        stored.append((await host.publish(data, record)).stored)
    return stored


async def search(node: DhtNode, hosts: Sequence[DhtNode], sequence: int) -> Outcome:
    """Search once, and judge what was found against who lives."""
    done = await node.search(KEY)
    living = {one.protocol.identity.public_key for one in hosts}
    newest = 0
    wrong = 0
    for _, record in done.records.values():
        honest = isinstance(record, SliceRecord) and record.lifetime.issued >= EPOCH
        wrong += not honest
        newest += honest and record.host in living and record.lifetime.sequence == sequence
    tally = done.tally
    return Outcome(newest, wrong, tally.first_record_s, tally.took_s, tally.requests)


async def searches(world: World, hosts: Sequence[DhtNode], count: int, sequence: int) -> Summary:
    """Search from honest nodes all over the network."""
    seekers = [one for one in world.nodes if one not in hosts]
    outcomes = [
        await search(node, hosts, sequence) for node in world.dice.sample(seekers, min(count, len(seekers)))
    ]
    # Answers that are late are not the next search's.
    await asyncio.sleep(2)
    return summary(outcomes, len(hosts))


def summary(outcomes: Sequence[Outcome], hosts: int) -> Summary:
    """Put outcomes together."""
    took = sorted(one.took_s for one in outcomes)
    first = sorted(one.first_s if one.first_s is not None else limits.SEARCH_DEADLINE_S for one in outcomes)
    return Summary(
        searches=len(outcomes),
        complete=sum(one.found == hosts for one in outcomes) / len(outcomes),
        found_least=min(one.found for one in outcomes),
        wrong=sum(one.wrong for one in outcomes),
        first_p50_s=statistics.median(first),
        took_p50_s=statistics.median(took),
        took_p95_s=took[int(0.95 * len(took))],
        requests_p50=statistics.median(one.requests for one in outcomes),
        requests_most=max(one.requests for one in outcomes),
    )
