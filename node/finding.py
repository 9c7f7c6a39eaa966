"""Finding hosts by the DHT: what a daemon and a client have of it. Joins `node.dht` with offers, contacts and files.

The DHT is a way to find hosts and no condition for speaking with those that are known: where it cannot be used, that is
said once and everything else goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto.identity import Identity, PeerId
from node.dht.announcing import SliceOffer
from node.dht.errors import CannotListen, NobodyKnown
from node.dht.service import Directory, Options
from wire.messages.hosting import Offer
from wire.records import IndexRecord, RecordState, SliceRecord
from wire.types import Address, ModelId

log = logging.getLogger(__name__)

FIND_S: Final = 3.0
"""The longest that a search is waited for; what was found until then is used."""
JOIN_S: Final = 3.0
"""The longest that is waited for a first node to answer."""
_JOINED_POLL_S: Final = 0.02
_ANYWHERE: Final = (Address("0.0.0.0", 0), Address("::", 0))  # noqa: S104 - who only asks is answered anywhere
MOST_HOSTS: Final = 64
"""Hosts of one model that are spoken with; a route needs a few."""


@dataclass(frozen=True, slots=True)
class Found:
    """A host that the DHT tells of."""

    peer: PeerId
    address: Address


class Finder:
    """One process in the DHT."""

    def __init__(self, identity: Identity, network: str, *, cache: Path | None, serves: bool | None) -> None:
        """Must be made on a running event loop.

        Args:
            cache: where nodes are kept for the next start.
            serves: false for a process that only asks; None for one that serves once others can reach it.
        """
        self._directory = Directory(identity, network, Options(cache=cache, serves=serves))
        self._directory.notice = lambda sentence: log.warning("%s", sentence)
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether datagrams are sent and received."""
        return self._is_open

    async def start(self, listen: Sequence[Address] = _ANYWHERE, contacts: Iterable[Address] = ()) -> None:
        """Begin to join, in the background; where no datagrams can be received, that is logged and nothing is found."""
        contacts = tuple(contacts)
        # Where a machine has no IPv6, IPv4 alone will do.
        for addresses in dict.fromkeys((tuple(listen), tuple(listen)[:1])):
            try:
                await self._directory.start(addresses, contacts)
            except CannotListen as error:
                reason = error
            else:
                self._is_open = True
                return
        log.warning("hosts are not found by the DHT: %s", reason)

    async def close(self) -> None:
        """Withdraw what was announced, and leave."""
        if self._is_open:
            self._is_open = False
            await self._directory.close()

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
                while self._is_open and not self._directory.contacts():  # noqa: ASYNC110 - the directory has no event for it
                    await asyncio.sleep(_JOINED_POLL_S)
        return self._is_open and bool(self._directory.contacts())

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
        """The hosts of a model, each once, with the first address they are reached at."""
        found: dict[PeerId, Found] = {}
        for record in await self.slices(model, within_s):
            if record.addresses and len(found) < MOST_HOSTS:
                found.setdefault(record.peer, Found(record.peer, record.addresses[0]))
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
