"""Several ways to one peer: direct ones first, a relay when none of them works, and direct ones again later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from crypto.identity import PeerId
from node.transport.errors import DialError, DialUnreachable, TransportError
from node.transport.link import Link
from wire.types import Address, Relayed

MAX_WAYS: Final = 8
"""Security limit: addresses of one peer that are tried, of all that its record and others name."""


class Pool(Protocol):
    """What is needed of `LinkPool`."""

    @property
    def links(self) -> Mapping[PeerId, Link]: ...
    async def link_to(self, peer_id: PeerId | None, address: Address | Relayed) -> Link: ...
    async def upgrade(self, peer_id: PeerId, address: Address) -> bool: ...


def _unheard(_way: Address | Relayed, _error: DialError) -> None:
    """A way that did not work, where only the outcome counts."""


async def link_by(
    pool: Pool,
    peer_id: PeerId | None,
    ways: Sequence[Address | Relayed],
    failed: Callable[[Address | Relayed, DialError], None] = _unheard,
) -> Link:
    """Return a link to a peer by the first way that works, direct ones first.

    Args:
        peer_id: who must answer; None takes whoever does, and is not for relays.
        failed: told of each way that does not work.

    Raises:
        DialError: none works; the last one's.
        TooManyLinks, PoolClosed: as `LinkPool.link_to`.
    """
    ordered = sorted(ways, key=lambda way: isinstance(way, Relayed))[:MAX_WAYS]
    failure: DialError | None = None
    for way in ordered:
        try:
            return await pool.link_to(peer_id, way)
        except DialError as error:
            failure = error
            failed(way, error)
    if failure is not None:
        raise failure
    nowhere = Address("0.0.0.0", 0)  # noqa: S104 - names no place; nothing binds to it
    raise DialUnreachable(nowhere, peer_id, "no address of this peer is known", "look it up again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a direct way is tried while a relay carries the link."""

    look_s: float = 5.0
    first_s: float = 15.0
    """After the link was seen first; then twice as long each time."""
    most_s: float = 900.0


class Upgrader:
    """Replaces carried links by direct ones as soon as a direct way works."""

    def __init__(
        self, pool: Pool, addresses: Callable[[PeerId], Sequence[Address]], pace: Pace = Pace()
    ) -> None:
        """`addresses` says at any time where a peer may be dialled."""
        self._pool = pool
        self._addresses = addresses
        self._pace = pace
        self._due: dict[PeerId, tuple[float, float]] = {}
        """When to try a peer next, and how long to wait after that."""

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            await asyncio.sleep(self._pace.look_s)
            await self._round(asyncio.get_running_loop().time())

    async def _round(self, now: float) -> None:
        carried = [peer for peer, link in list(self._pool.links.items()) if link.via is not None]
        self._due = {peer: due for peer, due in self._due.items() if peer in carried}
        for peer in carried:
            at, wait_s = self._due.setdefault(peer, (now + self._pace.first_s, self._pace.first_s))
            if now < at:
                continue
            wait_s = min(2 * wait_s, self._pace.most_s)
            self._due[peer] = now + wait_s, wait_s
            await self._try(peer)

    async def _try(self, peer: PeerId) -> None:
        for address in list(self._addresses(peer))[:MAX_WAYS]:
            try:
                if await self._pool.upgrade(peer, address):
                    return
            except TransportError:
                # No room for another link now, or the pool is closing.
                return
