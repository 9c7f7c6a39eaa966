"""A host in its swarm: its links, the roads to peers, the DHT, and how others reach it, all joined here."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version

from crypto.identity import Identity
from node import paths
from node.asking import Asking
from node.config import USUAL_LISTEN, NodeConfig
from node.dht.sockets import Counters
from node.discovery.bootstrap import PINNED_KEY
from node.discovery.errors import BadJoinString
from node.discovery.interfaces import local_addresses
from node.discovery.join_string import make_join_string
from node.discovery.mdns import announced_ips
from node.finding import Finder
from node.manners.pacing import Pacer
from node.meeting import Meeting
from node.neighbours import Neighbours
from node.reaching import Reaching, ReachTerms
from node.roads import Roads, RoadTerms
from node.supervising import Part, Supervisor
from node.transport.errors import AddressInUse
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.hosting import Offer
from wire.relay import Terms
from wire.types import Address

log = logging.getLogger(__name__)


class Presence:
    """What one host is to its swarm, but for what it serves."""

    def __init__(
        self,
        identity: Identity,
        config: NodeConfig,
        *,
        on_message: Callable[[Link, Message], None],
        on_closed: Callable[[Link, Code, str], None],
        is_busy: Callable[[Link], bool],
        pacer: Pacer | None = None,
    ) -> None:
        """Must be made on a running event loop.

        Args:
            on_message: takes messages that are not about finding or reaching peers.
            on_closed: told of every link that ends.
            is_busy: whether what is served needs a link.
            pacer: how fast the bytes of links may pass; those of datagrams are counted there.
        """
        self._identity = identity
        self._config = config
        self._on_message = on_message
        self._on_closed = on_closed
        self._needs = is_busy
        self.addresses: tuple[Address, ...] = ()
        """Where links and datagrams are taken."""
        self.pool = LinkPool(
            identity,
            config.network,
            f"lamella-node/{version('lamella')}",
            on_message=self._received,
            on_closed=self._closed,
            is_busy=self._is_busy,
        )
        pacer = pacer or Pacer()
        self.pool.pace_by(pacer)
        self._finder = Finder(
            identity,
            config.network,
            cache=paths.cache_dir() / "dht",
            serves=None,
            links_share_port=False,
            count=Counters(sent=pacer.upload.spend, received=pacer.download.spend),
        )
        self._roads = Roads(self._road_terms(), own=identity.peer_id, finder=self._finder)
        self._roads.connect(self.pool)
        self._asking = Asking(self._roads)
        self.neighbours = Neighbours(self._asking, self._roads, me=identity.peer_id, finder=self._finder)
        self._meeting = Meeting(self._roads, self.pool)
        relay = Terms() if config.relay else None
        terms = ReachTerms(maps=config.maps, relay=relay, sent=pacer.upload.spend)
        self.reaching = Reaching(identity, terms, pool=self.pool, finder=self._finder, roads=self._roads)
        self._running: asyncio.Task[None] | None = None

    async def open(self, on_failure: Callable[[], None]) -> None:
        """Take links and begin to look for peers.

        Args:
            on_failure: called when a part of this ends by a defect, which `close` then raises.

        Raises:
            ListenError: an address that was asked for is taken, or is none of this machine's.
            DiscoveryError: a bootstrap list that was asked for cannot be used.
        """
        self.addresses = await self._listen()
        self.reaching.listens(self.addresses)
        await self._roads.open(self.addresses, listed=self._config.listed)
        if self._config.dht:
            self._finder.fails(on_failure)
            await self._finder.start(self.addresses)
        self._running = asyncio.create_task(self._run())

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                on_failure()

        self._running.add_done_callback(ended)

    @property
    def nodes(self) -> int | None:
        """Nodes of the DHT that are known; None where it is not used."""
        return self._finder.nodes

    @property
    def dht_counts(self) -> Mapping[str, int]:
        """What the DHT asked, lost, refused and throttled since the start."""
        return self._finder.counts

    @property
    def dht_announced(self) -> int:
        """Records of this host that are announced."""
        return self._finder.records_announced

    @property
    def dht_stored(self) -> int:
        """Records of others that are kept here."""
        return self._finder.records_stored

    def announce(self, offers: Iterable[Offer]) -> None:
        """Announce these slices from now on, and no others."""
        self._finder.announce(offers)

    def add_contacts(self, contacts: Sequence[Contact]) -> None:
        """Take contacts that a person names while the host runs."""
        self._roads.add(contacts)

    async def leave(self) -> None:
        """Take back what was announced; links stay as they are."""
        await self._finder.close()

    async def close(self, code: Code, detail: str) -> None:
        """Leave, and end all links."""
        ended: Sequence[BaseException | None] = ()
        if self._running is not None:
            self._running.cancel()
            ended = await asyncio.gather(self._running, return_exceptions=True)
        await self._finder.close()
        await self.pool.close(code, detail)
        await self._roads.save()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def join_string(self) -> str | None:
        """What to hand to others so that they find this host; None when nobody else could use it."""
        if not self.addresses:
            return None
        local = await asyncio.to_thread(local_addresses)
        contacts = [
            Contact(peer=self._identity.peer_id, address=Address(ip, one.port))
            for one in self.addresses
            for ip in announced_ips(one, local) or [one.ip]
            if not ipaddress.ip_address(ip).is_unspecified and "%" not in ip
        ]
        try:
            return make_join_string(self._config.network, contacts)
        except BadJoinString:
            return None

    async def _run(self) -> None:
        parts = {"roads": self._roads.run, "meeting": self._meeting.run, "reaching": self.reaching.run}
        await Supervisor([Part(name=name, run=run) for name, run in parts.items()]).run()

    async def _listen(self) -> tuple[Address, ...]:
        if self._config.listen:
            return tuple([await self.pool.listen(one) for one in self._config.listen])
        try:
            return (await self.pool.listen(USUAL_LISTEN),)
        except AddressInUse as error:
            # Nobody asked for this port in particular.
            log.info("%s; a free port is taken instead", error.cause)
            return (await self.pool.listen(Address(USUAL_LISTEN.ip, 0)),)

    def _road_terms(self) -> RoadTerms:
        config = self._config
        places = config.listen or (USUAL_LISTEN,)
        return RoadTerms(
            network=config.network,
            named=config.peers,
            invited=config.invited,
            bootstrap=config.bootstrap,
            signer=config.signer or PINNED_KEY,
            lan=config.lan and not all(ipaddress.ip_address(one.ip).is_loopback for one in places),
            memory=paths.cache_dir() / "contacts",
        )

    def _received(self, link: Link, message: Message) -> None:
        self.reaching.on_message(link, message)
        if not self._asking.on_message(link, message) and not self._roads.on_message(link, message):
            self._on_message(link, message)

    def _closed(self, link: Link, code: Code, detail: str) -> None:
        self.reaching.on_closed(link)
        self._asking.on_closed(link, code, detail)
        self._roads.on_closed(link)
        self._meeting.on_closed(link)
        self._on_closed(link, code, detail)

    def _is_busy(self, link: Link) -> bool:
        return self._needs(link) or self.reaching.is_busy(link) or self._meeting.is_busy(link)
