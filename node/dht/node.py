"""One node of the DHT on an event loop: searches, stores, joins. It sends through a callable, and is handed what comes.

Where datagrams really go is not its concern: `service` gives it sockets, a simulation gives it a network in memory.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from node.dht.crawl import Candidate, Question, Rules, Search
from node.dht.exchange import Ask, Failure, Reply
from node.dht.protocol import Protocol
from node.dht.routing import Families
from wire import limits
from wire.claims import read_claim
from wire.dht_messages import Find, Found, Outcome, Ping, Request, Store, Stored
from wire.endpoints import NodeContact, NodeId
from wire.errors import BadMessage
from wire.records import Forged, Record, Untimely
from wire.types import Address

REFRESH_AT_ONCE = 3
"""Searches of a refresh at one time."""
MAX_REFRESHED = 24
"""Buckets one refresh fills, the emptiest first."""


@dataclass(slots=True)
class Published:
    """What became of a record that was announced."""

    stored: int = 0
    """Nodes that keep it."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    crowd: int = 0
    """Records there are of its key."""
    clock_ahead_s: float = 0.0
    """How far our clock is ahead of that of those who answered, by the middle one."""


class DhtNode:
    """A protocol with its timers."""

    def __init__(
        self, protocol: Protocol, send: Callable[[bytes, Address], None], families: Families
    ) -> None:
        """`send` takes datagrams and never blocks; `families` are those it can send to."""
        self.protocol = protocol
        self.families = families
        self.bootstrap: list[Address] = []
        """Whom to ask when no node is known."""
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._dead: OrderedDict[NodeContact, float] = OrderedDict()
        self._closed = False

    def receive(self, data: bytes, source: Address) -> None:
        """Take a datagram that arrived."""
        if not self._closed:
            self.protocol.receive(data, source, self._loop.time())
            self.flush()

    def flush(self) -> None:
        """Send what waits, and set the timer."""
        for data, address in self.protocol.datagrams_to_send():
            self._send(data, address)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.protocol.next_timeout()
        if due is not None and not self._closed:
            self._timer = self._loop.call_at(due, self._on_time)

    def close(self) -> None:
        """Stop; whoever waits for an answer gets none."""
        self._closed = True
        self.protocol.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def ask(self, request: Request, address: Address, node: NodeId | None = None) -> Reply | Failure:
        """Send a request and wait for its answer."""
        if self._closed:
            return Failure.CLOSED
        result: asyncio.Future[Reply | Failure] = self._loop.create_future()

        def done(reply: Reply | Failure) -> None:
            if not result.done():
                result.set_result(reply)

        self.protocol.ask(Ask(request, address, node, done), self._loop.time())
        self.flush()
        return await result

    async def greet(self, addresses: Iterable[Address]) -> int:
        """Ask whoever is at these addresses; take those that answer as contacts, and say how many did."""
        usable = [one for one in addresses if self.families.allow(one.ip)]
        hello = Ping(sender=self.protocol.node, serves=self.protocol.serves)
        replies = await asyncio.gather(*(self.ask(hello, one) for one in usable))
        answered = 0
        for address, reply in zip(usable, replies, strict=True):
            if isinstance(reply, Reply) and reply.node != self.protocol.node:
                self.protocol.welcome(reply, address, self._loop.time())
                answered += 1
        self.flush()
        return answered

    async def join(self, addresses: Iterable[Address]) -> int:
        """Become part of the network that these belong to; return how many nodes are known then."""
        await self.greet(addresses)
        if len(self.protocol.routing):
            await self.nearest(self.protocol.node)
            await self.refresh()
        return len(self.protocol.routing)

    async def refresh(self) -> None:
        """Ask the longest silent contacts whether they live, and fill buckets that lack some."""
        now = self._loop.time()
        hello = Ping(sender=self.protocol.node, serves=self.protocol.serves)
        oldest = self.protocol.routing.oldest()
        await asyncio.gather(*(self.ask(hello, one.contact.address, one.contact.node) for one in oldest))
        targets = self.protocol.routing.refresh_targets(self.protocol.random)[:MAX_REFRESHED]
        places = asyncio.Semaphore(REFRESH_AT_ONCE)

        async def fill(target: NodeId) -> None:
            async with places:
                await self.nearest(target)

        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(fill(target))
        self._forget_dead(now)

    async def nearest(self, target: NodeId, width: int = limits.SEARCH_WIDTH) -> Search:
        """Search for the nodes nearest to a place; return the search, which is over."""
        search = await self.begin(target, records=False, width=width)
        async for _ in self.run(search):
            pass
        return search

    async def records(self, key: NodeId) -> AsyncIterator[Record]:
        """Search for the records of a key; they come as they are found, a newer one after an older of its place."""
        search = await self.begin(key, records=True)
        async for record in self.run(search):
            yield record

    async def search(self, key: NodeId) -> Search:
        """Search for the records of a key; return the search, which is over."""
        search = await self.begin(key, records=True)
        async for _ in self.run(search):
            pass
        return search

    async def publish(self, data: bytes, record: Record) -> Published:
        """Store a signed record with the nodes nearest to its key."""
        key = record.key(self.protocol.network)
        search = await self.nearest(key, limits.REPLICAS)
        report = Published(crowd=search.crowd())
        ahead: list[float] = []
        waiting = self._holders(search, key, data, record, report)
        while waiting and report.stored < limits.REPLICAS:
            batch, waiting = (
                waiting[: limits.REPLICAS - report.stored],
                waiting[limits.REPLICAS - report.stored :],
            )
            for reply in await asyncio.gather(*(self._store(one, data) for one in batch)):
                if isinstance(reply, Reply) and isinstance(reply.answer, Stored):
                    report.outcomes[reply.answer.outcome] += 1
                    report.stored += reply.answer.outcome is Outcome.STORED
                    ahead.append(self.protocol.wall() - reply.answer.time)
        report.clock_ahead_s = statistics.median(ahead) if ahead else 0.0
        return report

    def _holders(
        self, search: Search, key: NodeId, data: bytes, record: Record, report: Published
    ) -> Sequence[Candidate]:
        """Those to store a record with; if this node is one of them it keeps the record at once."""
        nearest = search.nearest
        if self.protocol.serves:
            last = nearest[: limits.REPLICAS][-1:]
            within = len(nearest) < limits.REPLICAS or (
                self.protocol.node.distance(key) < last[0].contact.node.distance(key)
            )
            if within:
                outcome = self.protocol.storage.store(data, record, None, self.protocol.wall())
                report.outcomes[outcome] += 1
                report.stored += outcome is Outcome.STORED
        return nearest

    async def _store(self, candidate: Candidate, data: bytes) -> Reply | Failure:
        store = Store(
            sender=self.protocol.node, serves=self.protocol.serves, token=candidate.token, record=data
        )
        return await self.ask(store, candidate.contact.address, candidate.contact.node)

    async def begin(self, key: NodeId, *, records: bool, width: int = limits.SEARCH_WIDTH) -> Search:
        """A search that `run` carries out; what is here already it has found."""
        if not len(self.protocol.routing) and self.bootstrap:
            await self.greet(self.bootstrap)
        near = self.protocol.routing.nearest(key, limits.MAX_SEARCH_WIDTH, families=self.families)
        rules = Rules(self.protocol.node, self._usable, records, width)
        search = Search(key, [one.contact for one in near], rules)
        if records:
            here = self.protocol.storage.page(key, 0, 1 << 30, self.protocol.wall())
            search.add_own(self._read(key, here.records))
        return search

    async def run(self, search: Search) -> AsyncIterator[Record]:
        """Ask until the search is done or its time is over."""
        started = self._loop.time()
        changed = asyncio.Event()
        try:
            while not self._closed:
                self._pump(search, changed)
                for record in search.fresh():
                    if search.tally.first_record_s is None:
                        search.tally.first_record_s = self._loop.time() - started
                    yield record
                if search.done:
                    break
                async with asyncio.timeout_at(started + limits.SEARCH_DEADLINE_S):
                    await changed.wait()
                changed.clear()
        except TimeoutError:
            self.protocol.counts["search deadlines"] += 1
        finally:
            search.tally.took_s = self._loop.time() - started

    def _pump(self, search: Search, changed: asyncio.Event) -> None:
        for question in search.questions():
            self._send_question(search, question, changed)
        self.flush()

    def _send_question(self, search: Search, question: Question, changed: asyncio.Event) -> None:
        candidate = question.candidate

        def done(result: Reply | Failure) -> None:
            self._take(search, candidate, result)
            changed.set()

        def slow() -> None:
            search.slow(candidate)
            changed.set()

        find = Find(
            sender=self.protocol.node,
            serves=self.protocol.serves,
            key=search.key,
            cursor=question.cursor,
            contacts=question.contacts,
            records=question.records,
            v4=self.families.v4,
            v6=self.families.v6,
        )
        ask = Ask(find, candidate.contact.address, candidate.contact.node, done, slow)
        self.protocol.ask(ask, self._loop.time())

    def _take(self, search: Search, candidate: Candidate, result: Reply | Failure) -> None:
        if not isinstance(result, Reply) or not isinstance(result.answer, Found):
            search.failed(candidate)
            if result is not Failure.CLOSED and result is not Failure.BUSY:
                self._remember_dead(candidate.contact)
            return
        try:
            records = self._read(search.key, result.answer.records)
        except BadMessage as error:
            self.protocol.counts["liars"] += 1
            if isinstance(error, Forged):
                self.protocol.conducts.forged(candidate.contact.address, self._loop.time())
            self.protocol.routing.remove(candidate.contact.node)
            self._remember_dead(candidate.contact)
            search.failed(candidate, lied=True)
            return
        self.protocol.welcome(result, candidate.contact.address, self._loop.time())
        search.answered(candidate, result.answer, records)

    def _read(self, key: NodeId, datas: Iterable[bytes]) -> list[tuple[bytes, Record]]:
        """The records among these that count now.

        Raises `BadMessage` if one is none or belongs elsewhere, `Forged` if one is not its host's.
        """
        records = []
        for data in datas:
            if read_claim(data).key(self.protocol.network) != key:
                raise BadMessage("a record of another key")
            try:
                records.append((data, self.protocol.reader.read(data, self.protocol.wall())))
            except Untimely:
                # It may have been fine by the clock of whoever sent it.
                continue
        return records

    def _usable(self, contact: NodeContact) -> bool:
        if not self.families.allow(contact.address.ip):
            return False
        dead_until = self._dead.get(contact)
        if dead_until is None or dead_until < self._loop.time():
            return True
        # Who is a contact has answered since: silence ends that.
        known = self.protocol.routing.get(contact.node)
        return known is not None and known.contact.address == contact.address

    def _remember_dead(self, contact: NodeContact) -> None:
        self._dead[contact] = self._loop.time() + limits.DEAD_FOR_S
        self._dead.move_to_end(contact)
        if len(self._dead) > limits.MAX_DEAD:
            self._dead.popitem(last=False)

    def _forget_dead(self, now: float) -> None:
        while self._dead and next(iter(self._dead.values())) < now:
            self._dead.popitem(last=False)

    def _on_time(self) -> None:
        self._timer = None
        self.protocol.on_time(self._loop.time())
        self.flush()
