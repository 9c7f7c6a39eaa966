"""Measures the DHT on real sockets of this machine: 50 nodes, 20 of which host one model.

    python -m scripts.bench.dht [--nodes 50] [--hosts 20]

All nodes share this process and its one thread, so that a search pays for the work of all whom it asks. Each seeker
forgets which signatures it has checked before it searches. What hostile datagrams cost, `scripts.bench.hostile` says.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from crypto.digest import sha256
from crypto.identity import Identity
from node.dht.announcing import SliceOffer
from node.dht.reading import RecordReader
from node.dht.service import Directory, Options
from node.dht.sockets import Sockets
from scripts.dht_world.liars import Liar, Lie, Ring
from scripts.dht_world.world import NETWORK
from wire.datagrams import write_request
from wire.dht_messages import Ping
from wire.endpoints import network_tag, node_id_of
from wire.records import slice_key
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL: Final = ModelId(sha256(b"bench model"))
KEY: Final = slice_key(NETWORK, MODEL, 0)
LOCAL: Final = Address("127.0.0.1", 0)
OFFER: Final = SliceOffer(
    model=MODEL, name="bench", layers=LayerRange(0, 4), head=False, num_layers=8, dtype=DType.BFLOAT16
)


def identity(number: int) -> Identity:
    """The same identity for the same number."""
    return Identity.from_seed(sha256(b"bench", str(number).encode()))


@dataclass(frozen=True, slots=True)
class Figures:
    """What searches found, and how fast."""

    name: str
    searches: int
    complete: int
    first_p50_ms: float
    took_p50_ms: float


async def network(nodes: int, hosts: int, *, announced: bool = True) -> list[Directory]:
    """Directories that know each other; the first ones host the model."""
    running: list[Directory] = []
    for number in range(nodes):
        directory = Directory(identity(number), NETWORK, Options(serves=True))
        await directory.start([LOCAL], running[0].addresses if running else [])
        running.append(directory)
    for directory in running:
        await directory.running.join(running[0].addresses)
    if announced:
        await announce(running, hosts)
    return running


async def announce(running: list[Directory], hosts: int) -> None:
    """Have the first ones announce; return when most nodes have had a look at what is there."""
    for directory in running[:hosts]:
        directory.set_addresses(directory.addresses)
        directory.announce([OFFER])
    for directory in running:
        await directory.running.join(running[0].addresses)


async def searches(seekers: list[Directory], hosts: set[bytes], name: str) -> Figures:
    """Search once from each, and print what came of it."""
    first, took, requests, complete = [], [], [], 0
    for seeker in seekers:
        node = seeker.running
        node.protocol.reader = RecordReader(NETWORK)
        # A seeker does not host: what it keeps for others is not its to find.
        node.protocol.storage = type(node.protocol.storage)(NETWORK)
        done = await node.search(KEY)
        found = {record.host for _, record in done.records.values()}
        complete += found >= hosts
        first.append(1000 * (done.tally.first_record_s or 10))
        took.append(1000 * done.tally.took_s)
        requests.append(done.tally.requests)
    print(
        f"{name}: {complete} of {len(seekers)} searches found all {len(hosts)}; first record "
        f"{statistics.median(first):.1f} ms p50, complete {statistics.median(took):.0f} ms p50 / {max(took):.0f} ms "
        f"most, {statistics.median(requests):g} requests p50"
    )
    return Figures(name, len(seekers), complete, statistics.median(first), statistics.median(took))


class Siege:
    """Liars on sockets of this machine, at the places nearest to the key."""

    def __init__(self) -> None:
        self.dice = random.Random(1)
        self._sockets: dict[Address, Sockets] = {}

    def wall(self) -> float:
        """Unix time."""
        return time.time()

    def send(self, source: Address, data: bytes, target: Address) -> None:
        """Send as one of the liars."""
        self._sockets[source].send(data, target)

    async def lay(self, count: int, running: list[Directory]) -> None:
        """Place liars and have every node take them as contacts."""
        ring = Ring()
        lies = (Lie.EMPTY, Lie.FEW, Lie.STALE, Lie.JUNK)
        nearest = min(one.running.protocol.node.distance(KEY) for one in running)
        number = 0
        while len(self._sockets) < count:
            number += 1
            liar = Identity.from_seed(sha256(b"siege", str(number).encode()))
            if node_id_of(liar.public_key).distance(KEY) >= nearest:
                continue
            acting: list[Liar] = []
            sockets = Sockets(partial(_act, acting))
            (address,) = await sockets.open([LOCAL])
            acting.append(Liar(self, liar, address, lies[len(self._sockets) % len(lies)], ring))
            self._sockets[address] = sockets
            hello = Ping(sender=node_id_of(liar.public_key), serves=True)
            data = write_request(hello, tag=network_tag(NETWORK), transaction=os.urandom(8))
            for one in running:
                self.send(address, data, one.addresses[0])
                await asyncio.sleep(0)
        await asyncio.sleep(1)

    def lift(self) -> None:
        """Close the sockets."""
        for one in self._sockets.values():
            one.abort()


def _act(liars: list[Liar], data: bytes, source: Address) -> None:
    for one in liars:
        one.receive(data, source)


async def besieged(nodes: int, hosts: int) -> Figures:
    """The eight nearest to the key lie."""
    running = await network(nodes, hosts, announced=False)
    siege = Siege()
    await siege.lay(8, running)
    await announce(running, hosts)
    keys = {identity(number).public_key for number in range(hosts)}
    figures = await searches(running[hosts:], keys, "the 8 nearest to the key hostile")
    for one in running:
        one.kill()
    siege.lift()
    await asyncio.sleep(0)
    return figures


async def loopback(nodes: int, hosts: int) -> list[Figures]:
    """All well, then three in ten dead without a word."""
    running = await network(nodes, hosts)
    keys = {identity(number).public_key for number in range(hosts)}
    figures = [await searches(running[hosts:], keys, f"{nodes} nodes")]
    victims = random.Random(1).sample(range(1, nodes), 3 * nodes // 10)
    for number in victims:
        running[number].kill()
    living = [one for number, one in enumerate(running) if number not in victims and number >= hosts]
    keys = {identity(number).public_key for number in range(hosts) if number not in victims}
    figures += [await searches(living, keys, f"30 % killed, {which} search") for which in ("first", "second")]
    for one in running:
        one.kill()
    await asyncio.sleep(0)
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the DHT on this machine.")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--hosts", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(loopback(options.nodes, options.hosts))
    asyncio.run(besieged(options.nodes, options.hosts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
