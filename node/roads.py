"""All roads to peers that one process uses: joins `node.discovery` with links, the DHT, the disk and the clock.

Every road yields contacts; the book keeps them, hands out whom to try, and learns how each answered. What a stranger
told goes no further than the book until the peer has answered: the DHT gets contacts of roads that can be trusted more.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto.identity import PeerId
from node.discovery.book_file import BookFile
from node.discovery.bootstrap import PACKAGED, PINNED_KEY, read_bootstrap
from node.discovery.contact_book import ContactBook
from node.discovery.entries import Failure, Known, Road
from node.discovery.interfaces import LocalAddress, local_addresses
from node.discovery.mdns import Announced, Lan
from node.errors import NodeError
from node.finding import Finder, Found
from node.introductions import Introductions
from node.transport.errors import (
    DialError,
    DialRefused,
    DialTimedOut,
    DialUnreachable,
    HandshakeRefused,
    PeerHungUp,
    WrongPeer,
)
from node.transport.link import Link
from node.transport.pool import LinkPool
from node.transport.ways import link_by
from wire.contacts import Contact
from wire.errors import InvalidValue
from wire.messages.base import Message
from wire.types import Address, Relayed

log = logging.getLogger(__name__)

MOST_ASKED: Final = 128
"""Security limit: contacts that are tried at one time."""
MAX_RELAYED: Final = 256
"""Security limit: peers whose relays are remembered."""
_TOKEN_BYTES: Final = 8
_MOST_TWINS: Final = 8
SAVE_S: Final = 60.0
"""How often contacts that answered are written down."""
WATCH_S: Final = 5.0
"""How soon it is noticed that this machine is on another network."""
_FAILURES: Final = {
    DialRefused: Failure.REFUSED,
    DialTimedOut: Failure.SILENT,
    DialUnreachable: Failure.SILENT,
    HandshakeRefused: Failure.OTHER_NETWORK,
    PeerHungUp: Failure.BROKEN,
    WrongPeer: Failure.SOMEONE_ELSE,
}
_NO_NETWORK: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_TRUSTED: Final = frozenset({Road.CONFIGURED, Road.INVITED, Road.LAN, Road.BOOTSTRAP, Road.REMEMBERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadTerms:
    """By which roads a process may come to know peers."""

    network: str
    named: tuple[Contact, ...] = ()
    """Those a person wrote down."""
    invited: tuple[Contact, ...] = ()
    """Those of a join string."""
    bootstrap: Path | None = None
    """A signed list; the one that came with the release, if there is one, when None."""
    signer: bytes = PINNED_KEY
    """Whose list is believed."""
    lan: bool = False
    """Whether to look around on the local network."""
    memory: Path | None = None
    """The folder where contacts that answered are kept for the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A peer that may be reached, and how."""

    peer: PeerId | None
    """None: whoever answers there."""
    contacts: tuple[Contact, ...]
    relays: tuple[Relayed, ...] = ()

    @property
    def ways(self) -> tuple[Address | Relayed, ...]:
        """All of it, to be tried in this order; at least one."""
        return (*(one.address for one in self.contacts), *self.relays)


class Roads:
    """The contacts of one process."""

    def __init__(self, terms: RoadTerms, *, own: PeerId | None = None, finder: Finder | None = None) -> None:
        """
        Args:
            own: this process's peer id, whose contacts are not taken; None for a client, whose identity a host shares.
            finder: the DHT, which is told of contacts.
        """
        self._terms = terms
        self._own = own
        self._finder = finder
        self._pool: LinkPool | None = None
        self._book = ContactBook(own=own)
        self._file = BookFile(terms.memory, terms.network) if terms.memory is not None else None
        self._relayed: OrderedDict[PeerId, tuple[Relayed, ...]] = OrderedDict()
        self._lan: Lan | None = None
        self._twins: tuple[Contact, ...] = ()
        """Hosts with our identity that were told of."""
        self._announced: Announced | None = None
        self._introductions = Introductions(own, self._told)
        self.news = asyncio.Event()
        """Set whenever somebody new has been heard of; whoever waits for it clears it."""
        self.moved = asyncio.Event()
        """Set whenever this machine's addresses have changed; whoever waits for it clears it."""

    def connect(self, pool: LinkPool) -> None:
        """Say over which links to reach peers; once, before the first of them."""
        self._pool = pool
        self._introductions.connect(pool.links)

    async def open(self, listen: Sequence[Address] = (), *, listed: bool = True) -> None:
        """Take the contacts that are there from the beginning.

        Args:
            listen: where this process takes links; nothing for one that takes none.
            listed: whether peers may tell others of it, and the local network hear of it.

        Raises:
            DiscoveryError: a bootstrap list that was asked for cannot be used.
        """
        terms = self._terms
        if self._own is not None and listen and listed:
            self._introductions.listens = tuple(listen)
            self._announced = Announced(
                peer=self._own, listen=_widest(listen), token=secrets.token_hex(_TOKEN_BYTES)
            )
        self._hear(terms.named, Road.CONFIGURED)
        self._hear(terms.invited, Road.INVITED)
        await self._open_bootstrap()
        if self._file is not None:
            met = await asyncio.to_thread(self._file.load, time.time())
            self._book.met(met, self._now())
            self._tell_finder([one.contact for one in met])

    def add(self, named: Sequence[Contact]) -> None:
        """Take contacts that a person names while this runs."""
        self._hear(named, Road.CONFIGURED)

    async def run(self) -> None:
        """Listen to the local network, watch the interfaces and write down who answered, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._keep())
            if self._terms.lan:
                self._lan = Lan(
                    self._terms.network, found=self._lan_found, gone=self._lan_gone, announced=self._announced
                )
                group.create_task(self._lan.run())

    async def save(self) -> None:
        """Write down who answered, for the next start."""
        if self._file is not None:
            await asyncio.to_thread(self._file.save, self._book.known(self._now()), time.time())

    def found(self, hosts: Iterable[Found]) -> int:
        """Take what the DHT told of; how many contacts of it are new."""
        new = 0
        for one in hosts:
            relays = tuple(way for way in one.ways if isinstance(way, Relayed))
            if relays:
                new += one.peer not in self._relayed
                self._relayed[one.peer] = relays
                self._relayed.move_to_end(one.peer)
                while len(self._relayed) > MAX_RELAYED:
                    self._relayed.popitem(last=False)
            else:
                self._relayed.pop(one.peer, None)
            new += self._hear(_contacts(one), Road.DHT)
        return new

    def somebody(self) -> list[Somebody]:
        """Whom to ask now: everybody but those who failed a moment ago, each once; best first."""
        unnamed: list[Somebody] = []
        named: dict[PeerId, list[Contact]] = {}
        for contact in self._book.askable(self._now(), MOST_ASKED):
            if contact.peer is None:
                unnamed.append(Somebody(peer=None, contacts=(contact,)))
            else:
                named.setdefault(contact.peer, []).append(contact)
        for peer in self._relayed:
            named.setdefault(peer, [])
        return unnamed + [
            Somebody(peer=peer, contacts=tuple(contacts), relays=self._relayed.get(peer, ()))
            for peer, contacts in named.items()
        ]

    def due(self, most: int) -> list[Somebody]:
        """Whom to try that no link leads to, as often as is reasonable; counts as tried."""
        contacts = self._book.due(self._now(), most, linked=set(self._linked.links))
        return [Somebody(peer=one.peer, contacts=(one,)) for one in contacts]

    def next_due_s(self) -> float | None:
        """Seconds until `due` has somebody; None when there is nobody to wait for."""
        return self._book.next_due_s(self._now(), linked=set(self._linked.links))

    def addresses(self, peer: PeerId) -> list[Address]:
        """Where a peer may be dialled."""
        known = self._book.askable(self._now(), MOST_ASKED)
        return [contact.address for contact in known if contact.peer == peer]

    async def reach(self, one: Somebody) -> Link:
        """Return a link to somebody, and remember how that went. Raises `TransportError`."""
        contacts = {contact.address: contact for contact in one.contacts}

        def failed(way: Address | Relayed, error: DialError) -> None:
            if isinstance(way, Address):
                self._failed(contacts[way], error)
            elif one.peer is not None:
                self._relayed.pop(one.peer, None)

        link = await link_by(self._linked, one.peer, one.ways, failed)
        contact = contacts.get(link.remote)
        if contact is not None and link.via is None:
            self._book.answered(contact, link.peer_id, self._now())
            self._tell_finder([contact])
        self._introductions.greet(link)
        return link

    def greet(self, link: Link) -> None:
        """Ask a peer for peers, unless it was asked a moment ago."""
        self._introductions.greet(link)

    def on_message(self, link: Link, message: Message) -> bool:
        """Take a message of a link; whether it was about peers."""
        return self._introductions.on_message(link, message)

    def on_closed(self, link: Link) -> None:
        """A link is over."""
        self._introductions.on_closed(link)

    def why_alone(self) -> str | None:
        """Why nobody can be reached, in one sentence with the next step; None when that is not so."""
        trouble = self._book.why_alone()
        if trouble is None:
            return None
        hint = self._lan.trouble if self._lan is not None else None
        return str(trouble) if hint is None else f"{trouble} ({hint})"

    @property
    def named(self) -> bool:
        """Whether a person named anybody."""
        return bool(self._terms.named or self._terms.invited)

    def known(self) -> tuple[Known, ...]:
        """Everything that is known, best roads first."""
        return self._book.known(self._now())

    @property
    def _linked(self) -> LinkPool:
        if self._pool is None:
            raise RuntimeError("the roads have no links yet")
        return self._pool

    async def _open_bootstrap(self) -> None:
        """Take the contacts of a signed list. One that came with the release and is over is no reason not to start."""
        terms = self._terms
        path = terms.bootstrap or PACKAGED
        if terms.bootstrap is None and not path.is_file():
            return
        read = asyncio.to_thread(
            read_bootstrap, path, network=terms.network, now=time.time(), key=terms.signer
        )
        try:
            listed = await read
        except NodeError as error:
            if terms.bootstrap is not None:
                raise
            log.warning("%s", error)
        else:
            self._hear(listed.contacts, Road.BOOTSTRAP)

    async def _watch(self) -> None:
        """Try everybody anew when this machine comes to another network."""
        before: frozenset[LocalAddress] | None = None
        while True:
            now = await asyncio.to_thread(local_addresses)
            if before is not None and now != before:
                log.info("this machine's addresses have changed")
                self._book.network_changed(self._now())
                self.news.set()
                self.moved.set()
            before = now
            await asyncio.sleep(WATCH_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(SAVE_S)
            await self.save()

    def _lan_found(self, contact: Contact) -> None:
        if contact.peer is not None and contact.peer == self._own and contact not in self._twins:
            self._twins = (*self._twins, contact)[-_MOST_TWINS:]
            log.warning(
                "another host, at %s, announces itself with this one's identity; give each an identity of its own, by "
                "--identity or by deleting the identity file of one of them",
                contact.address,
            )
        self._hear((contact,), Road.LAN)

    def _lan_gone(self, contact: Contact) -> None:
        self._book.withdrawn(contact, Road.LAN)

    def _told(self, contacts: Sequence[Contact], teller: PeerId) -> None:
        self._hear(contacts, Road.EXCHANGE, teller=teller)

    def _hear(self, contacts: Sequence[Contact], road: Road, *, teller: PeerId | None = None) -> int:
        new = self._book.heard(contacts, road, self._now(), teller=teller)
        if road in _TRUSTED:
            self._tell_finder(contacts)
        if new:
            self.news.set()
        return new

    def _tell_finder(self, contacts: Iterable[Contact]) -> None:
        if self._finder is not None:
            self._finder.add_contacts([one.address for one in contacts])

    def _failed(self, contact: Contact, error: DialError) -> None:
        trouble = self._book.failed(contact, _why(error), self._now())
        if trouble is not None:
            log.warning("%s", trouble)

    @staticmethod
    def _now() -> float:
        return time.monotonic()


def _why(error: DialError) -> Failure:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _NO_NETWORK:
        return Failure.NO_NETWORK
    return _FAILURES.get(type(error), Failure.SILENT)


def _contacts(host: Found) -> list[Contact]:
    """A host's addresses as contacts; what is no address of a single machine is passed over."""
    contacts = []
    for way in host.ways:
        if isinstance(way, Address):
            with suppress(InvalidValue):
                contacts.append(Contact(peer=host.peer, address=way))
    return contacts


def _widest(listen: Sequence[Address]) -> Address:
    """What to announce of several places: `::` stands for both families when both are listened on everywhere."""
    everywhere = [one for one in listen if ipaddress.ip_address(one.ip).is_unspecified]
    return max(everywhere or listen, key=lambda one: ":" in one.ip)
