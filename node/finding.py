"""Finding hosts by the DHT: what a daemon and a client have of it. Joins `node.dht` with offers, contacts and files.

The DHT is a way to find hosts and no condition for speaking with those that are known: where it cannot be used, that is
said once and everything else goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto.identity import Identity, PeerId
from node.dht.announcing import SliceOffer
from node.dht.errors import CannotListen, NobodyKnown
from node.dht.service import Directory, Options
from node.dht.sockets import Counters
from wire.messages.hosting import Offer
from wire.records import IndexRecord, RecordState, Relay, SliceRecord
from wire.types import Address, ModelId, Relayed

log = logging.getLogger(__name__)

FIND_S: Final = 3.0
"""The longest that a search is waited for; what was found until then is used."""
JOIN_S: Final = 3.0
"""The longest that is waited for a first node to answer."""
_JOINED_POLL_S: Final = 0.02
_ANYWHERE: Final = (Address("0.0.0.0", 0), Address("::", 0))  # noqa: S104 - who only asks is answered anywhere
MOST_HOSTS: Final = 64
"""Hosts of one model that are spoken with; a route needs a few."""

MOST_TOLD: Final = 64
"""Contacts that are handed to the DHT: it needs a few to begin with."""


@dataclass(frozen=True, slots=True)
class Found:
    """A host that the DHT tells of."""

    peer: PeerId
    ways: tuple[Address | Relayed, ...]
    """Where it is reached, as it announces itself: addresses that were proven, then relays."""


class Finder:
    """One process in the DHT."""

    def __init__(
        self,
        identity: Identity,
        network: str,
        *,
        cache: Path | None,
        serves: bool | None,
        links_share_port: bool = True,
        count: Counters | None = None,
    ) -> None:
        """Must be made on a running event loop.

        Args:
            cache: where nodes are kept for the next start.
            serves: false for a process that only asks; None for one that serves once others can reach it.
            links_share_port: whether proof that datagrams arrive is announced for links, too; if not, nothing is
                announced but what `reached_at` says.
            count: who is told of the bytes of all datagrams.
        """
        options = Options(
            cache=cache, serves=serves, links_share_port=links_share_port, count=count or Counters()
        )
        self._directory = Directory(identity, network, options)
        self._directory.notice = lambda sentence: log.warning("%s", sentence)
        self._is_open = False
        self._contacts: list[Address] = []

    @property
    def is_open(self) -> bool:
        """Whether datagrams are sent and received."""
        return self._is_open

    def observe(self, told: Callable[[Address, Address], None]) -> None:
        """Say who is told the address at which a node sees this process, and that node's."""
        self._directory.on_observed = told

    def fails(self, told: Callable[[], None]) -> None:
        """Say who is told when this cannot go on by a defect, which `close` then raises."""
        self._directory.on_failed = told

    async def start(self, listen: Sequence[Address] = _ANYWHERE, contacts: Iterable[Address] = ()) -> None:
        """Begin to join, in the background; where no datagrams can be received, that is logged and nothing is found."""
        self.add_contacts(contacts)
        # Where a machine has no IPv6, IPv4 alone will do.
        for addresses in dict.fromkeys((tuple(listen), tuple(listen)[:1])):
            try:
                await self._directory.start(addresses, self._contacts)
            except CannotListen as error:
                reason = error
            else:
                self._is_open = True
                return
        log.warning("hosts are not found by the DHT: %s", reason)

    @property
    def nodes(self) -> int | None:
        """Nodes of the DHT that are known; None where it cannot be used."""
        return len(self._directory.contacts()) if self._is_open else None

    @property
    def counts(self) -> Mapping[str, int]:
        """What was asked, lost, refused and throttled since the start."""
        return self._directory.counts

    @property
    def records_announced(self) -> int:
        """Records of this host that are announced."""
        return self._directory.announced

    @property
    def records_stored(self) -> int:
        """Records of others that are kept here."""
        return self._directory.stored

    def add_contacts(self, contacts: Iterable[Address]) -> None:
        """Ask these too; each takes datagrams at the port where it takes links."""
        self._contacts += [one for one in contacts if one not in self._contacts]
        del self._contacts[:-MOST_TOLD]
        if self._is_open:
            self._directory.add_contacts(self._contacts)

    async def close(self) -> None:
        """Withdraw what was announced, and leave."""
        if self._is_open:
            self._is_open = False
            await self._directory.close()

    def reached_at(self, addresses: Iterable[Address], relays: Iterable[Relayed]) -> None:
        """Say where links reach this host, as was proven; announced from now on."""
        carriers = [Relay(one.relay, one.address) for one in relays]
        self._directory.set_addresses(addresses, carriers)

    def receives_at(self, addresses: Iterable[Address]) -> None:
        """Say where datagrams of strangers come in, as was proven by links."""
        self._directory.reached(addresses)

    def take_aside(self, take: Callable[[bytes], bool]) -> None:
        """Say who is given each datagram first, and takes it by saying so."""
        self._directory.take_aside = take

    def announce(self, offers: Iterable[Offer]) -> None:
        """Announce these slices from now on, and no others."""
        if self._is_open:
            self._directory.announce([_announced(one) for one in offers])

    async def withdraw(self) -> None:
        """Take back what was announced, before it ends."""
        if self._is_open:
            await self._directory.withdraw()

    async def joined(self, within_s: float = JOIN_S) -> bool:
        """Wait until some node is known; whether one is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._is_open and not self._has_node:  # noqa: ASYNC110 - the directory has no event for it
                    await asyncio.sleep(_JOINED_POLL_S)
        return self._is_open and self._has_node

    @property
    def _has_node(self) -> bool:
        """Whether there is a node to ask: another one, or this one when it keeps what others announce."""
        return bool(self._directory.contacts()) or self._directory.serves

    async def slices(self, model: ModelId, within_s: float = FIND_S) -> list[SliceRecord]:
        """All slices of a model that can be found in time, each host's latest word."""
        found: dict[tuple[PeerId, int, int], SliceRecord] = {}
        if not await self.joined():
            return []
        with suppress(TimeoutError, NobodyKnown):
            async with asyncio.timeout(within_s):
                async for record in self._directory.find(model):
                    key = (record.peer, record.slot, record.shard)
                    if record.state is RecordState.SERVING:
                        found[key] = record
                    else:
                        found.pop(key, None)
        return list(found.values())

    async def models(self, within_s: float = FIND_S) -> list[IndexRecord]:
        """All models that can be found in time, one record for each host that has told of one."""
        found: dict[tuple[PeerId, ModelId], IndexRecord] = {}
        if not await self.joined():
            return []
        with suppress(TimeoutError, NobodyKnown):
            async with asyncio.timeout(within_s):
                async for record in self._directory.models():
                    key = (record.peer, record.model)
                    if record.state is RecordState.SERVING:
                        found[key] = record
                    else:
                        found.pop(key, None)
        return list(found.values())

    async def hosts(self, model: ModelId, within_s: float = FIND_S) -> list[Found]:
        """The hosts of a model, each once, with all the ways to it."""
        found: dict[PeerId, Found] = {}
        for record in await self.slices(model, within_s):
            relays = [Relayed(one.peer, one.address) for one in record.relays]
            ways: tuple[Address | Relayed, ...] = (*record.addresses, *relays)
            if ways and len(found) < MOST_HOSTS:
                found.setdefault(record.peer, Found(record.peer, ways))
        return list(found.values())


def _announced(offer: Offer) -> SliceOffer:
    """An offer as the directory takes it."""
    return SliceOffer(
        model=offer.model,
        name=offer.name,
        layers=offer.layers,
        head=offer.head,
        num_layers=offer.num_layers,
        dtype=offer.dtype,
        weights=offer.weights,
        tokens_until=offer.tokens_until,
        max_positions=offer.max_positions,
        free_kv_bytes=offer.free_kv_bytes,
        sessions=offer.sessions,
        step_us=offer.step_us,
    )
