"""Peer exchange: whom to tell of, whom to believe, how often. Pure decisions; `node` sends and receives.

Spec: `specs/discovery.md` §Peer exchange.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.discovery.scope import Network, may_pass, neighbourhood, plain
from wire import limits
from wire.contacts import Contact
from wire.errors import InvalidValue
from wire.messages.peers import KnownPeer, Peers
from wire.types import Address

MAX_PER_NEIGHBOURHOOD: Final = 4
"""Security limit: contacts of one /24 or /48 taken from one answer, so that it is not one machine's inventions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A peer that this process has a link to."""

    peer: PeerId
    address: Address
    """The link's other end as this process sees it."""
    dialled: bool
    """Whether this process opened the link, so that the peer takes links at `address` itself."""
    listens: int | None = None
    """The port it said in `introduce` or `peers`; None when it said none, and is not to be told of."""

    @property
    def contact(self) -> Contact | None:
        """Where others may reach it; None when it is not to be told of."""
        if self.listens is None:
            return None
        seen = plain(self.address)
        try:
            return Contact(peer=self.peer, address=seen if self.dialled else Address(seen.ip, self.listens))
        except InvalidValue:
            return None


class Pace:
    """How often one link is asked, or answered, with names of peers. One for each link and direction."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: float | None = None

    def may(self, now: float) -> bool:
        """Whether it is time again, and if so, take it. `now` is in seconds of a clock that never goes back."""
        if self._last is not None and now - self._last < limits.PEERS_INTERVAL_S:
            return False
        self._last = now
        return True


def peers_for(
    asker: Neighbour, neighbours: Iterable[Neighbour], *, listens: int | None, draw: random.Random
) -> Peers:
    """Return the answer to `introduce`.

    Args:
        asker: who is told; its address decides which addresses it may hear.
        neighbours: the peers this process has links to, the asker included or not.
        listens: our own port, None when we are not to be told of.
        draw: which to choose when there are more than fit.
    """
    known: dict[PeerId, KnownPeer] = {}
    for one in neighbours:
        contact = one.contact
        if one.peer != asker.peer and contact is not None and may_pass(contact.address, asker.address):
            known[one.peer] = KnownPeer(peer=one.peer, address=contact.address)
    told = list(known.values())
    if len(told) > limits.MAX_PEERS_TOLD:
        told = draw.sample(told, limits.MAX_PEERS_TOLD)
    return Peers(peers=tuple(told), listens=listens)


def believable(told: Peers, teller: Neighbour, *, own: PeerId | None) -> tuple[Contact, ...]:
    """Return the contacts of an answer that are worth trying: not us, not aimed inside, not all of one owner.

    Args:
        teller: who answered; its address decides which addresses are taken from it.
        own: this process's own peer id; None for one that shares it with another.
    """
    taken: dict[Contact, None] = {}
    crowd: Counter[Network] = Counter()
    for one in told.peers:
        try:
            contact = Contact(peer=one.peer, address=plain(one.address))
        except InvalidValue:
            continue
        if (
            one.peer in (own, teller.peer)
            or not may_pass(contact.address, teller.address)
            or contact in taken
        ):
            continue
        around = neighbourhood(contact.address)
        if crowd[around] < MAX_PER_NEIGHBOURHOOD:
            crowd[around] += 1
            taken[contact] = None
    return tuple(taken)
