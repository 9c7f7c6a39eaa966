"""Measures what a DHT node pays for what it refuses, kind by kind, and that it keeps none of it.

    python -m scripts.bench.hostile [--count 2000]

Two roads lead a record into a node: a `store`, and an answer to a search. Each kind is measured as a first offence,
each datagram from an IP never heard of before, and in floods no faster than one sender may send: from one address,
from many ports of one IP, and from two hundred IPs in turn. All who store have fetched a write token. Beside the first
offence stands how many checks of an Ed25519 signature it is worth: no node can refuse a good forgery for less than one.
An answer to a search counts only if it was asked for; its seal is one check, whoever wrote it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from crypto.digest import sha256
from crypto.identity import Identity, verify
from node.dht.crawl import Rules, Search
from node.dht.node import DhtNode
from node.dht.protocol import Protocol
from node.dht.routing import Families, KnownNode
from wire import limits
from wire.cbor import dumps
from wire.datagrams import HEAD_BYTES, read_head, write_answer, write_request
from wire.dht_messages import Found, Ping, Pong, Store
from wire.endpoints import NodeContact, network_tag, node_id_of
from wire.records import CONTEXT, Lifetime, Record, SliceRecord, sign_record, slice_key
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

NETWORK: Final = "bench"
TAG: Final = network_tag(NETWORK)
HOST: Final = Identity.from_seed(sha256(b"hostile host"))
HERE: Final = node_id_of(HOST.public_key)
MODEL: Final = ModelId(sha256(b"bench model"))
KEY: Final = slice_key(NETWORK, MODEL, 0)
MANY_IPS: Final = 200
NEWER: Final = 9
"""A sequence above that of the record that is there, so that nothing is refused for being older."""
CONTACTS: Final = 400
"""Nodes that are offered to the routing table, which keeps those it has room for."""
CHECK_EVERY: Final = 5
"""Datagrams between two checks of a signature."""
US: Final = 1e6
MESSAGE: Final = bytes(200)
SIGNATURE: Final = HOST.sign(CONTEXT, MESSAGE)
"""What is checked for comparison, as long as a record."""

Writer = Callable[[bytes], bytes]
"""Makes a datagram for a sender with this write token."""


@dataclass(slots=True)
class Run:
    """What datagrams cost one after the other, and what a check of a signature did in between, in us."""

    costs: list[float] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    kept: int = 0
    """Records that were accepted."""

    def time(self, act: Callable[[], None]) -> None:
        """Measure one datagram, and now and then a check."""
        if len(self.costs) % CHECK_EVERY == 0:
            self.checks.append(_timed(_check))
        self.costs.append(_timed(act))

    @property
    def check(self) -> float:
        """What a check took, in us: the measure of all else, on whatever machine and beside whatever it does."""
        return statistics.median(self.checks)

    @property
    def mean(self) -> float:
        """What a datagram cost, in checks."""
        return statistics.fmean(self.costs) / self.check

    @property
    def median(self) -> float:
        """What half of the datagrams cost at the most, in checks; other work of the machine moves it little."""
        return statistics.median(self.costs) / self.check


@dataclass(frozen=True, slots=True)
class Costs:
    """What a kind of datagram costs."""

    kind: str
    first: Run
    floods: tuple[Run, ...]
    """From one address, from many ports of one IP, and from many IPs."""

    @property
    def kept(self) -> int:
        """Records that were accepted, in all."""
        return sum(one.kept for one in (self.first, *self.floods))


def floods(count: int) -> tuple[list[Address], ...]:
    """The senders of each flood, in turn."""
    ports = [Address("20.0.0.7", 1024 + number) for number in range(count)]
    return ports[:1], ports, addresses_of_many_ips(MANY_IPS)


def addresses_of_many_ips(count: int) -> list[Address]:
    """One address each, all in the world."""
    return [Address(f"{20 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.7", 7311) for n in range(count)]


def slice_record(sequence: int, *, age_s: int = 0) -> SliceRecord:
    """A record of the bench's model."""
    issued = int(time.time()) - age_s
    return SliceRecord(
        model=MODEL,
        host=HOST.public_key,
        layers=LayerRange(0, 4),
        head=False,
        num_layers=8,
        addresses=(Address("203.0.113.7", 7311),),
        lifetime=Lifetime(sequence=sequence, issued=issued, expires=issued + 600),
        dtype=DType.BFLOAT16,
    )


def signed(record: Record, network: str = NETWORK) -> bytes:
    """Its bytes."""
    return sign_record(record, HOST, network)


def forged() -> bytes:
    """A record that nobody signed, unlike all others."""
    return signed(slice_record(NEWER))[:-64] + another_signature()


def another_signature() -> bytes:
    """A signature of something else: random bytes are mostly refused at a glance, for a number that is too large."""
    return HOST.sign(CONTEXT, os.urandom(8))


def bomb(start: bytes, fill: bytes, *, genuine: bool) -> bytes:
    """A record that begins like one and goes on as something that is dear to decode."""
    body = (start + fill * limits.MAX_RECORD_BYTES)[: limits.MAX_RECORD_BYTES - 64]
    if not genuine:
        return body + another_signature()
    return body + HOST.sign(CONTEXT, _framed(body))


def _framed(body: bytes) -> bytes:
    name = NETWORK.encode()
    return b"".join(len(part).to_bytes(4, "big") + part for part in (name, body))


def records() -> dict[str, Callable[[], bytes]]:
    """Records that no node may take; the ones that are replayed are genuine, and one node has them."""
    good, older = signed(slice_record(5)), signed(slice_record(4))
    # As far as the slot, so that all that is read without a decoder is in order.
    start = signed(slice_record(NEWER))[:84]
    return {
        "forged": forged,
        "foreign (another network's)": lambda: signed(slice_record(NEWER), "other"),
        "expired": lambda: signed(slice_record(NEWER, age_s=700)),
        "future": lambda: signed(slice_record(NEWER, age_s=-7200)),
        "oversized": lambda: good + os.urandom(limits.MAX_RECORD_BYTES - len(good) + 1),
        "replayed": lambda: good,
        "replayed, since replaced": lambda: older,
        "junk": lambda: os.urandom(200),
        "CBOR bomb": lambda: bomb(b"", b"\x81", genuine=False),
        "CBOR bomb, begun well": lambda: bomb(start, b"\x81", genuine=False),
        "CBOR bomb, signed": lambda: bomb(start, b"\x80", genuine=True),
    }


def kinds() -> dict[str, Writer]:
    """Datagrams for a node: those that need no record, and a `store` of each kind of record."""
    head = write_request(Ping(sender=HERE, serves=False), tag=TAG, transaction=bytes(8))[:HEAD_BYTES]
    observed = Address("203.0.113.7", 7311)

    def store(make: Callable[[], bytes], token: bytes) -> bytes:
        request = Store(sender=HERE, serves=False, token=token, record=bytes(1))
        data = write_request(request, tag=TAG, transaction=os.urandom(8))
        # Written by hand: an honest writer makes no request with a record that is too long.
        return data[:HEAD_BYTES] + dumps([HERE.raw, False, token, make(), bytes(8)])

    made: dict[str, Writer] = {
        "datagram: junk": lambda _: os.urandom(400),
        "datagram: of another network": lambda _: write_request(
            Ping(sender=HERE, serves=True), tag=network_tag("other"), transaction=bytes(8)
        ),
        "datagram: answer nobody asked for": lambda token: write_answer(
            Pong(observed=observed, token=token), HOST, tag=TAG, transaction=os.urandom(8)
        ),
        "datagram: CBOR bomb": lambda _: head + b"\x81" * 1200,
        "datagram: wide CBOR bomb": lambda _: head + dumps([[]] * 1200),
        "store: spoofed source": lambda _: store(partial(signed, slice_record(NEWER)), os.urandom(8)),
        **{f"store: {name}": partial(store, make) for name, make in records().items()},
        "(a ping, which is answered)": lambda _: write_request(
            Ping(sender=HERE, serves=False), tag=TAG, transaction=os.urandom(8)
        ),
    }
    return made


def near_the_key() -> Identity:
    """A node of a few hundred that has no reason to call the key too far."""
    made = (Identity.from_seed(sha256(b"near", bytes((number,)))) for number in range(256))
    return min(made, key=lambda one: node_id_of(one.public_key).distance(KEY))


NEAR: Final = near_the_key()


def node_with_a_record() -> Protocol:
    """A node that holds the newest record."""
    node = Protocol(NEAR, NETWORK, random=os.urandom, wall=time.time)
    for number in range(CONTACTS):
        address = Address(f"30.{number >> 8}.{number & 255}.1", 7311)
        node.routing.add(KnownNode(sha256(number.to_bytes(4, "big")), address))
    record = slice_record(5)
    node.storage.store(signed(record), record, None, time.time())
    return node


def stores(kind: str, make: Writer, count: int) -> Costs:
    """The costs of one kind of datagram."""

    def run(senders: list[Address]) -> Run:
        node, run = node_with_a_record(), Run()
        sent = [senders[number % len(senders)] for number in range(count)]
        datagrams = [make(node.token_for(sender, 0.0)) for sender in sent]
        for number, (data, sender) in enumerate(zip(datagrams, sent, strict=True)):
            # As fast as one sender may send, so that no datagram is dropped for its rate.
            run.time(partial(_arrive, node, data, (sender.ip, sender.port), number / limits.SOURCE_RATE_HZ))
            node.datagrams_to_send()
        run.kept = len(node.storage) - 1
        return run

    return Costs(kind, run(addresses_of_many_ips(count)), tuple(map(run, floods(count))))


def answers() -> dict[str, Callable[[], tuple[bytes, ...]]]:
    """What answers to a search may hold: a record, of which each kind is tried."""
    elsewhere = signed(replace(slice_record(NEWER), model=ModelId(sha256(b"another"))))
    wanted: dict[str, Callable[[], tuple[bytes, ...]]] = {
        f"answer: {name}": lambda make=make: (make(),)  # type: ignore[misc]  # a default binds the loop's value
        for name, make in records().items()
        # What is too long an answer cannot hold; and a replayed one is true as long as it counts.
        if name != "oversized" and "replayed" not in name
    }
    wanted["answer: of another key"] = lambda: (elsewhere,)
    wanted["(an answer without records)"] = lambda: ()
    return wanted


async def search_answers(kind: str, make: Callable[[], tuple[bytes, ...]], count: int) -> Costs:
    """The costs of answers to searches, each of which asks one node."""

    async def run(senders: list[Address]) -> Run:
        asked: list[tuple[bytes, Address]] = []
        node = DhtNode(node_with_a_record(), lambda *sent: asked.append(sent), Families())
        run = Run()
        for number in range(count):
            sender = senders[number % len(senders)]
            search = Search(KEY, [NodeContact(HERE, sender)], Rules(node.protocol.node))
            searching = asyncio.create_task(_drain(node, search))
            await asyncio.sleep(0)
            found = Found(observed=sender, token=bytes(8), total=1, next=None, contacts=(), records=make())
            # Who has lied is not asked again; it may still send.
            transaction = read_head(asked.pop()[0], TAG).transaction if asked else os.urandom(8)
            data = write_answer(found, HOST, tag=TAG, transaction=transaction)
            run.time(partial(node.receive, data, sender))
            run.kept += len(search.records)
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)
            asked.clear()
        node.close()
        return run

    first = await run(addresses_of_many_ips(count))
    return Costs(kind, first, tuple([await run(senders) for senders in floods(count)]))


def _arrive(node: Protocol, data: bytes, source: tuple[str, int], now: float) -> None:
    """As a socket hands it over."""
    node.receive(data, Address(*source), now)


async def _drain(node: DhtNode, search: Search) -> None:
    async for _ in node.run(search):
        pass


def _check() -> None:
    verify(HOST.public_key, CONTEXT, MESSAGE, SIGNATURE)


def _timed(act: Callable[[], None]) -> float:
    """In us; the thread's own time, since what else the machine does is not the sender's doing."""
    started = time.thread_time()
    act()
    return US * (time.thread_time() - started)


def measure(count: int) -> Iterator[Costs]:
    """Each kind in turn."""
    for kind, make in kinds().items():
        yield stores(kind, make, count)
    for kind, answer in answers().items():
        yield asyncio.run(search_answers(kind, answer, count))


def main() -> int:
    """Measure and print; 1 when anything was accepted."""
    parser = argparse.ArgumentParser(description="Measure what a DHT node pays for hostile datagrams.")
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    print(f"{count} datagrams of each kind, in checks of one signature unless said otherwise")
    heads = ("check us", "first us", "median", "mean", "address", "ports", "IPs", "kept")
    print(f"{'':52}{'first':>9}{'':9}{'flood from':>18}\n{'':34}" + "".join(f"{one:>9}" for one in heads))
    kept = 0
    for one in measure(count):
        kept += one.kept
        median = statistics.median(one.first.costs)
        means = "".join(
            f"{mean:9.2f}"
            for mean in (median / one.first.check, *(run.mean for run in (one.first, *one.floods)))
        )
        print(f"{one.kind:34}{one.first.check:9.0f}{median:9.0f}{means}{one.kept:9}", flush=True)
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())
