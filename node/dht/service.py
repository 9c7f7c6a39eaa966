"""The directory of hosts: what a daemon or client has of the DHT. It joins sockets, node, proof of reach, announcing.

A directory begins as a client: it asks, and answers those who ask it, but nobody takes it as a contact. When another
node has reached it from outside, it serves. It announces only addresses that were proven, so or by other means.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crypto.identity import Identity, PeerId
from node.dht.announcing import Announcer, SliceOffer, Ways
from node.dht.node import DhtNode
from node.dht.peer_cache import PeerCache
from node.dht.places import is_v6
from node.dht.protocol import Protocol
from node.dht.reach import Reachability
from node.dht.seeking import Seeker
from node.dht.sockets import Counters, Sockets, is_own, send_aside
from node.supervising import Part, PartGaveUp, Supervisor
from wire import limits
from wire.datagrams import write_knock
from wire.records import IndexRecord, Relay, SliceRecord
from wire.types import Address, LayerRange, ModelId

WITHDRAW_TIMEOUT_S = 3.0
"""How long a directory that closes tries to take back what it announced."""
_FIRST_PROOF_S = 0.2
_REJOIN_S = 1.0
"""How soon a directory that knows nobody tries its contacts again."""


@dataclass(frozen=True, slots=True)
class Known:
    """A node that answered from its address."""

    peer: PeerId
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a directory behaves."""

    serves: bool | None = None
    """Whether others can reach it: true and false say so; none has it found out."""
    links_share_port: bool = True
    """Whether links are taken at the address of the datagrams, so that proof of one is announced for the other."""
    cache: Path | None = None
    """Where contacts are kept for the next start."""
    count: Counters = field(default_factory=Counters)
    """Who is told of the bytes of all datagrams."""
    wall: Callable[[], float] = field(default=time.time)
    """Unix time in seconds."""
    random: Callable[[int], bytes] = field(default=os.urandom)


class Directory:
    """Who serves which layers of which model, as far as the network `network` knows."""

    def __init__(self, identity: Identity, network: str, options: Options | None = None) -> None:
        """Must be made on a running event loop."""
        self._options = options or Options()
        self._protocol = Protocol(
            identity,
            network,
            random=self._options.random,
            wall=self._options.wall,
            now=asyncio.get_running_loop().time(),
        )
        self._protocol.serves = self._options.serves is True
        self._protocol.on_observed = self._observed
        self._sockets = Sockets(self._received, count=self._options.count)
        self._node: DhtNode | None = None
        self._reach: Reachability | None = None
        self._announcer: Announcer | None = None
        self._cache = None if self._options.cache is None else PeerCache(self._options.cache, network)
        self._tasks: list[asyncio.Task[None]] = []
        self._proven: dict[bool, Address] = {}
        self._shown: tuple[Address, ...] = ()
        self._seen_elsewhere = asyncio.Event()
        self._given: tuple[Address, ...] = ()
        self._relays: tuple[Relay, ...] = ()
        self._contacts: list[Address] = []
        self.addresses: tuple[Address, ...] = ()
        """Where datagrams are received."""
        self.take_aside: Callable[[bytes], bool] = lambda _: False
        """Called first with each datagram; what it takes is not for this."""
        self.on_observed: Callable[[Address, Address], None] = lambda *_: None
        """Called with the address at which a node sees us, and that node's."""
        self.on_failed: Callable[[], None] = lambda: None
        """Called when a part of this failed too often to be started again; `close` raises what ended it."""
        self.notice: Callable[[str], None] = lambda _: None
        """Called with a sentence for the person who runs this: what is wrong and what to do next."""

    async def start(self, listen: Sequence[Address], contacts: Iterable[Address] = ()) -> None:
        """Open the sockets and begin to join, in the background. Raises `CannotListen`."""
        self.addresses = await self._sockets.open(listen)
        self._node = DhtNode(self._protocol, self._sockets.send, self._sockets.families)
        self._reach = Reachability(self._node, is_own=is_own, knock_aside=self._knock_aside)
        self._announcer = Announcer(self._node, self._protocol.identity, self._ways)
        self._announcer.notice = self._say
        self.add_contacts(contacts)
        parts = [
            Part(name="staying in the DHT", run=self._stay_joined),
            Part(name="being reached by the DHT", run=self._stay_reachable),
            Part(name="announcing", run=self._announcer.run),
        ]
        self._tasks.append(asyncio.create_task(self._kept_running(parts)))

    async def close(self) -> None:
        """Take back what was announced, as far as that is possible in a few seconds, and stop."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        try:
            for one in ended:
                # A task that failed earlier is not forgotten.
                if isinstance(one, Exception):
                    raise one
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                    await self.withdraw()
            await self._save()
        finally:
            if self._reach is not None:
                await self._reach.close()
            if self._node is not None:
                self._node.close()
            await self._sockets.close()

    def kill(self) -> None:
        """Stop at once and without a word, as a machine does that loses its power."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        if self._node is not None:
            self._node.close()
        self._sockets.abort()

    def announce(self, slices: Sequence[SliceOffer]) -> None:
        """Announce these slices from now on, and no others; what is no longer among them is taken back."""
        self._announcing.offer(slices)

    async def withdraw(self) -> None:
        """Take back all that was announced; returns when that is done."""
        if self._announcer is not None:
            await self._announcer.withdraw()

    def set_addresses(self, addresses: Iterable[Address], relays: Iterable[Relay] = ()) -> None:
        """Say where links reach this host, as proven by other means; announced beside what this finds out."""
        given, carried = tuple(addresses), tuple(relays)
        if (given, carried) != (self._given, self._relays):
            self._given, self._relays = given, carried
            if self._announcer is not None:
                self._announcer.hurry()

    def reached(self, addresses: Iterable[Address]) -> None:
        """Say where datagrams of strangers come in, as proven by other means; none when they do not.

        A node that others can reach may know nobody who could show it by the DHT, as the only one that is reachable.
        """
        self._shown = tuple(addresses)
        self._judge()

    def find(self, model: ModelId, layers: LayerRange | None = None) -> AsyncIterator[SliceRecord]:
        """Search for the slices of a model; they come as they are found.

        A record that comes later takes the place of one of the same host and slot; one that says `WITHDRAWN` comes only
        to take back one that came before. Of popular models only the blocks that `layers` touches are searched.
        """
        return Seeker(self.running).slices(model, layers)

    def models(self) -> AsyncIterator[IndexRecord]:
        """Search for the models there are, one record for each host that was told of."""
        return Seeker(self.running).models()

    def contacts(self) -> Sequence[Known]:
        """The nodes known now."""
        return [Known(one.peer, one.contact.address) for one in self._protocol.routing]

    def add_contacts(self, contacts: Iterable[Address]) -> None:
        """Ask these too when few nodes are known. They are hints: who answers there proves who it is."""
        fresh = [one for one in contacts if one not in self._contacts]
        self._contacts = [*fresh, *self._contacts][: limits.MAX_PEER_CACHE]
        if self._node is not None:
            self._node.bootstrap = self._contacts[: limits.SEARCH_WIDTH]
            if fresh and self._tasks:
                self._tasks.append(asyncio.get_running_loop().create_task(self._greet(fresh)))
                self._tasks = [one for one in self._tasks if not one.done()]

    @property
    def serves(self) -> bool:
        """Whether others can reach this node and may know it."""
        return self._protocol.serves

    @property
    def proven(self) -> tuple[Address, ...]:
        """The addresses at which another node has reached this one."""
        return tuple(dict.fromkeys((*self._proven.values(), *self._shown)))

    @property
    def counts(self) -> dict[str, int]:
        """What was asked, lost, refused and throttled since the start."""
        return dict(self._protocol.counts)

    @property
    def announced(self) -> int:
        """Records of this host that are announced."""
        return 0 if self._announcer is None else self._announcer.announced

    @property
    def stored(self) -> int:
        """Records of others that are kept here."""
        return len(self._protocol.storage)

    @property
    def running(self) -> DhtNode:
        """The node, once it has started."""
        if self._node is None:
            raise RuntimeError("the directory has not been started")
        return self._node

    @property
    def _announcing(self) -> Announcer:
        if self._announcer is None:
            raise RuntimeError("the directory has not been started")
        return self._announcer

    def _received(self, data: bytes, source: Address) -> None:
        if self._node is not None and not self.take_aside(data):
            self._node.receive(data, source)

    def _say(self, text: str) -> None:
        self.notice(text)

    def _observed(self, address: Address, by: Address) -> None:
        proven = self._proven.get(is_v6(address.ip))
        if proven is not None and proven != address:
            self._seen_elsewhere.set()
        self.on_observed(address, by)

    def _ways(self) -> Ways:
        found = self._proven.values() if self._options.links_share_port else ()
        addresses = dict.fromkeys((*self._given, *found))
        return Ways(tuple(addresses), self._relays)

    def _knock_aside(self, target: Address, nonce: bytes) -> bool:
        knock = write_knock(tag=self._protocol.tag, nonce=nonce)
        self._options.count.sent(len(knock))
        return send_aside(knock, target)

    async def _kept_running(self, parts: Sequence[Part]) -> None:
        try:
            await Supervisor(parts).run()
        except PartGaveUp as error:
            self.notice(f"{error.cause}; {error.next_step}")
            self.on_failed()
            raise

    async def _greet(self, addresses: Sequence[Address]) -> None:
        if await self.running.greet(addresses):
            await self.running.nearest(self._protocol.node)

    async def _stay_joined(self) -> None:
        """Join, then keep the contacts fresh, and come back when all were lost."""
        node = self.running
        if self._cache is not None:
            self.add_contacts(await asyncio.to_thread(self._cache.load))
        told = False
        while True:
            known = await node.join(self._contacts)
            if not known and self._contacts and not told:
                told = True
                self.notice(
                    f"none of the {len(self._contacts)} contacts answers datagrams; check the network and whether a "
                    "firewall lets UDP through, or give the address of a running peer with --peer"
                )
            if known:
                told = False
                await self._save()
            await asyncio.sleep(limits.REFRESH_INTERVAL_S if known else _REJOIN_S)

    async def _stay_reachable(self) -> None:
        """Have the addresses proven, again and again; serve while there is one."""
        reach = self._reach
        if reach is None or self._options.serves is False:
            return
        pause, told = _FIRST_PROOF_S, False
        while True:
            await self._until_moved(pause)
            families = self._sockets.families
            for v6 in (False, True):
                if not (families.v6 if v6 else families.v4) or not len(self._protocol.routing):
                    continue
                proven = await reach.prove(v6=v6)
                if proven != self._proven.get(v6):
                    self._moved(v6, proven)
            pause = limits.REACH_INTERVAL_S if self._proven else min(limits.REACH_RETRY_S, 2 * pause)
            if pause == limits.REACH_RETRY_S and len(self._protocol.routing) and not told:
                told = True
                self.notice(
                    "no other node reaches this one, which therefore only asks; let UDP through to port "
                    f"{self.addresses[0].port} at the firewall and router, or be reached through a relay"
                )

    async def _until_moved(self, pause_s: float) -> None:
        """Wait, but not long once others see us at another address than the one that was proven."""
        self._seen_elsewhere.clear()
        try:
            async with asyncio.timeout(pause_s):
                await self._seen_elsewhere.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(pause_s, limits.REACH_RETRY_S))

    def _moved(self, v6: bool, proven: Address | None) -> None:
        if proven is None:
            del self._proven[v6]
        else:
            self._proven[v6] = proven
        self._judge()

    def _judge(self) -> None:
        """Serve where others can reach this node, and announce what has changed."""
        if self._options.serves is None:
            self._protocol.serves = bool(self._proven or self._shown)
        if self._announcer is not None:
            self._announcer.hurry()

    async def _save(self) -> None:
        known = [one.address for one in self.contacts()]
        if self._cache is not None and known:
            await asyncio.to_thread(self._cache.save, known)
