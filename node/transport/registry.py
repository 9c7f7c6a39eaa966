"""Which link to use when there are several to the same peer. Decides; opens and closes nothing.

Two processes that dial each other at once get two links. The one whose initiator has the smaller name (peer id, then
Noise key) wins: both ends compute the same. The loser is not cut off, since messages may be under way in it: it is
retired, used for nothing new, and closed once it has been quiet. Only a link nobody can have used yet is refused.

A direct link is better than one a relay carries, whoever opened either.

A peer id is a person's, and may have two processes, a node and a chat, at work at once: processes are told apart by
their Noise keys. Only a process that listens, or that we dialled, is used to reach the peer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from crypto.identity import PeerId
from wire.handshake import LISTENS, Peer
from wire.types import Address

Name = tuple[PeerId, bytes]
"""A process: its peer id and its Noise static key."""


class Entry(Protocol):
    """What the registry needs to see of a link."""

    @property
    def inbound(self) -> bool: ...
    @property
    def peer(self) -> Peer: ...
    @property
    def remote(self) -> Address: ...
    @property
    def via(self) -> PeerId | None: ...

    retired: bool


L = TypeVar("L", bound=Entry)


def wins(own: Name, peer: Name, *, inbound: bool) -> bool:
    """Whether a link between these two was initiated by the side that wins a tie."""
    return (peer < own) if inbound else (own < peer)


class Registry(Mapping[PeerId, L]):
    """The established links; as a mapping, the one to use for each peer."""

    def __init__(self, own: Name) -> None:
        self._own = own
        self._by_name: dict[Name, list[L]] = {}

    def add(self, link: L) -> bool:
        """Enter a new link; return False when it is the loser and unused, so that it should be closed at once."""
        name = _name_of(link)
        others = self._by_name.setdefault(name, [])
        if link.via is not None and any(other.via is None and not other.retired for other in others):
            if not link.inbound:
                return False
            link.retired = True
            others.append(link)
            return True
        if link.via is None:
            for other in others:
                other.retired = other.retired or other.via is not None
        rival = next((other for other in others if not other.retired and other.inbound != link.inbound), None)
        if rival is None or wins(self._own, name, inbound=link.inbound):
            # Of two links the same side dialled the newer counts: that side may have lost the older one unseen.
            for other in others:
                other.retired = True
        elif not link.inbound:
            # We initiated it, so the peer has not even seen the handshake's end.
            return False
        else:
            link.retired = True
        others.append(link)
        return True

    def remove(self, link: L) -> bool:
        """Forget a link; return whether it was known."""
        name = _name_of(link)
        others = self._by_name.get(name, [])
        if link not in others:
            return False
        others.remove(link)
        if not others:
            del self._by_name[name]
        elif all(other.retired for other in others):
            others[-1].retired = False
        return True

    def reusable(self, peer_id: PeerId) -> L | None:
        """The link by which the node of this identity is reached, if there is one."""
        for link in self._usable():
            if link.peer.peer_id == peer_id and (not link.inbound or LISTENS in link.peer.features):
                return link
        return None

    def dialled(self, address: Address) -> L | None:
        """The link we opened to this address, if there is one."""
        return next(
            (one for one in self._usable() if not one.inbound and one.via is None and one.remote == address),
            None,
        )

    def all(self) -> list[L]:
        """Every link, retired ones too."""
        return [link for links in self._by_name.values() for link in links]

    def __getitem__(self, peer_id: PeerId) -> L:
        link = self.reusable(peer_id) or next(
            (one for one in self._usable() if one.peer.peer_id == peer_id), None
        )
        if link is None:
            raise KeyError(peer_id)
        return link

    def __iter__(self) -> Iterator[PeerId]:
        return iter(dict.fromkeys(link.peer.peer_id for link in self._usable()))

    def __len__(self) -> int:
        return len({link.peer.peer_id for link in self._usable()})

    def _usable(self) -> Iterator[L]:
        return (link for links in self._by_name.values() for link in links if not link.retired)


def _name_of(link: Entry) -> Name:
    return link.peer.peer_id, link.peer.static_key
