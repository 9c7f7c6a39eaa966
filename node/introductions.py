"""Peers telling each other of peers, over the links they have: `node.discovery.exchange` on this process's links.

Nobody is told where a peer is that did not say so on its link. Carried links are left out: the address at their
other end is the relay's. Spec: `specs/discovery.md` §Peer exchange.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crypto.identity import PeerId
from node.discovery.exchange import Neighbour, Pace, believable, peers_for
from node.errors import NodeError
from node.transport.link import Link
from wire import limits
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.peers import Introduce, Peers
from wire.types import Address

log = logging.getLogger(__name__)

GREET_S: Final = limits.PEERS_INTERVAL_S + 1.0
"""How often a link that is kept is asked for peers."""


@dataclass(slots=True)
class _Side:
    """What was said on one link."""

    listens: int | None = None
    asks: Pace = field(default_factory=Pace)
    asked: Pace = field(default_factory=Pace)
    awaits: bool = False


class Introductions:
    """The peer exchange of one process."""

    def __init__(self, own: PeerId | None, told: Callable[[Sequence[Contact], PeerId], None]) -> None:
        """
        Args:
            own: this process's peer id, of which nothing is taken; None for a client, whose identity a host shares.
            told: called with contacts that a peer told of, and that peer.
        """
        self.listens: tuple[Address, ...] = ()
        """Where this process takes links and may be told of."""
        self._own = own
        self._told = told
        self._links: Mapping[PeerId, Link] = {}
        self._sides: dict[Link, _Side] = {}
        self._draw = random.SystemRandom()

    def connect(self, links: Mapping[PeerId, Link]) -> None:
        """Say which links there are; a live view."""
        self._links = links

    def greet(self, link: Link) -> None:
        """Ask a peer for peers, unless it was asked a moment ago."""
        side = self._sides.setdefault(link, _Side())
        if link.via is None and side.asks.may(time.monotonic()):
            side.awaits = True
            _say(link, Introduce(listens=self._port(link)))

    def on_message(self, link: Link, message: Message) -> bool:
        """Take a message of a link; whether it was about peers."""
        if not isinstance(message, Introduce | Peers):
            return False
        side = self._sides.setdefault(link, _Side())
        if link.via is None:
            side.listens = message.listens or side.listens
        if isinstance(message, Introduce):
            self._answer(link, side)
        elif side.awaits and link.via is None:
            # Only what was asked for: who tells unasked sets the pace himself.
            side.awaits = False
            contacts = believable(message, self._neighbour(link), own=self._own)
            if contacts:
                self._told(contacts, link.peer_id)
        return True

    def on_closed(self, link: Link) -> None:
        """A link is over, and what was said on it forgotten."""
        self._sides.pop(link, None)

    def _answer(self, link: Link, side: _Side) -> None:
        if link.via is not None or not side.asked.may(time.monotonic()):
            _say(link, Peers(peers=()))
            return
        neighbours = [self._neighbour(one) for one in self._links.values() if one.via is None]
        answer = peers_for(self._neighbour(link), neighbours, listens=self._port(link), draw=self._draw)
        _say(link, answer)

    def _neighbour(self, link: Link) -> Neighbour:
        side = self._sides.get(link)
        return Neighbour(
            peer=link.peer_id,
            address=link.remote,
            dialled=not link.inbound,
            listens=None if side is None else side.listens,
        )

    def _port(self, link: Link) -> int | None:
        """Where this process takes links at the address that the peer sees it at, as far as that is known here."""
        local = link.local
        for one in self.listens:
            ip = ipaddress.ip_address(one.ip)
            if local is None or ip.version != ipaddress.ip_address(local.ip).version:
                continue
            if ip.is_unspecified or one.ip == local.ip:
                return one.port
        return None


def _say(link: Link, message: Message) -> None:
    try:
        link.send(message)
    except NodeError as error:
        log.debug("nobody is left to tell: %s", error)
