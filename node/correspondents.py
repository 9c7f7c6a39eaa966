"""Whom a host speaks with in a session: peers over links, or itself when it is two hops of one route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from crypto.identity import PeerId
from node.transport.errors import LinkClosed
from node.transport.link import Link
from wire.messages.base import Message
from wire.types import Address, Relayed


class Correspondent(Protocol):
    """Whoever a session speaks with: a link, or this host itself when it is two hops of one route."""

    @property
    def peer_id(self) -> PeerId:
        """Who it is."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether so much is queued that whoever can wait should."""
        ...

    def send(self, message: Message) -> None:
        """Queue a message; never blocks."""
        ...

    async def drain(self) -> None:
        """Wait until it is not crowded. Raises `LinkClosed` when it ends first."""
        ...


class Peers(Protocol):
    """The links a session host speaks over; `node.transport.pool.LinkPool` is one."""

    @property
    def links(self) -> Mapping[PeerId, Link]:
        """Established links by peer."""
        ...

    async def link_to(self, peer_id: PeerId | None, address: Address | Relayed) -> Link:
        """Return the link to a peer, dialling it if there is none. Raises `NodeError`."""
        ...


class Loopback:
    """The way from one hop of a route to the next when both are this host."""

    def __init__(self, me: PeerId, deliver: Callable[[Correspondent, Message], None]) -> None:
        self.peer_id = me
        self._deliver = deliver

    @property
    def crowded(self) -> bool:
        """Never: what is sent is here already."""
        return False

    def send(self, message: Message) -> None:
        """Deliver a message to this host itself, soon."""
        asyncio.get_running_loop().call_soon(self._deliver, self, message)

    async def drain(self) -> None:
        """Return at once."""


def tell(link: Correspondent, message: Message) -> bool:
    """Send, and say whether the link took it; one that has just ended is reported by its own event."""
    try:
        link.send(message)
    except LinkClosed:
        return False
    return True
