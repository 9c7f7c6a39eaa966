"""The records one node keeps for others. No sockets, no clock: time is an argument.

Of a host's records in one place the highest sequence counts. Everything expires; nothing is handed to other nodes,
since hosts announce again by themselves: records that holders pass on to each other outlive their host.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from wire import limits
from wire.claims import INDEX, Claim
from wire.dht_messages import Outcome
from wire.endpoints import NodeId
from wire.records import Record, claim_of, position

_CBOR_HEAD_BYTES: Final = 3
"""What a record takes in an answer beside its own bytes."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a key's records, in ring order from a cursor."""

    total: int
    next: int | None
    """The position of the first record that is not in this page; none when the ring is round."""
    records: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes
    record: Record
    position: int
    network: bytes | None
    """Where it was stored from, if that is limited."""


@dataclass(slots=True)
class _Shelf:
    """The records of one key."""

    entries: dict[bytes, _Entry] = field(default_factory=dict)
    """By place."""
    ring: list[tuple[int, bytes]] = field(default_factory=list)
    """Position and place, ascending."""
    by_network: Counter[bytes] = field(default_factory=Counter)


class RecordStore:
    """Records by key, within the limits of `wire.limits`."""

    def __init__(self, network: str) -> None:
        self._network = network
        self._shelves: dict[NodeId, _Shelf] = {}
        self._by_host: Counter[bytes] = Counter()
        self._by_network: Counter[bytes] = Counter()
        self._expiry: list[tuple[int, NodeId, bytes, int]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def judge(self, claim: Claim, network: bytes | None, now: float) -> Outcome:
        """What would become of a record that claims this if it were stored now.

        `network` is where it comes from, none where limits do not hold (`places.limited_network`).
        """
        self.expire(now)
        shelf = self._shelves.get(claim.key(self._network))
        old = shelf.entries.get(claim.place) if shelf is not None else None
        if old is not None:
            return Outcome.STORED if claim.sequence > old.record.lifetime.sequence else Outcome.STALE
        full = (
            self._size >= limits.MAX_STORED_RECORDS
            or self._by_host[claim.host] >= limits.MAX_STORED_PER_HOST
            or (network is not None and self._by_network[network] >= limits.MAX_STORED_PER_NETWORK)
            or (shelf is not None and _is_full(shelf, claim, network))
        )
        return Outcome.FULL if full else Outcome.STORED

    def store(self, data: bytes, record: Record, network: bytes | None, now: float) -> Outcome:
        """Keep a record that has been read and checked, if `judge` lets it. One that is here already is stored too."""
        self.expire(now)
        key = record.key(self._network)
        shelf = self._shelves.get(key) or _Shelf()
        old = shelf.entries.get(record.place)
        if old is not None and old.record == record:
            return Outcome.STORED
        outcome = self.judge(claim_of(record), network, now)
        if outcome is not Outcome.STORED:
            return outcome
        shelf = self._shelves.setdefault(key, shelf)
        if old is not None:
            self._forget(key, record.place)
            shelf = self._shelves.setdefault(key, _Shelf())
            # The newer one keeps the place it has: where it is sent from may be another's network by now.
            network = old.network
        entry = _Entry(data, record, position(record), network)
        shelf.entries[record.place] = entry
        insort(shelf.ring, (entry.position, record.place))
        self._count(shelf, entry, 1)
        life = record.lifetime
        heapq.heappush(self._expiry, (life.expires, key, record.place, life.sequence))
        return Outcome.STORED

    def page(self, key: NodeId, cursor: int, room_bytes: int, now: float) -> Page:
        """The records of a key from `cursor` on, as many as fit into `room_bytes`."""
        self.expire(now)
        shelf = self._shelves.get(key)
        if shelf is None:
            return Page(0, None)
        ring = shelf.ring
        first = bisect_left(ring, (cursor, b""))
        chosen: list[bytes] = []
        for step in range(len(ring)):
            where, place = ring[(first + step) % len(ring)]
            data = shelf.entries[place].data
            room_bytes -= len(data) + _CBOR_HEAD_BYTES
            if room_bytes < 0 or len(chosen) == limits.MAX_ANSWER_RECORDS:
                return Page(len(ring), where, tuple(chosen))
            chosen.append(data)
        return Page(len(ring), None, tuple(chosen))

    def count(self, key: NodeId, now: float) -> int:
        """How many records of a key are here."""
        self.expire(now)
        shelf = self._shelves.get(key)
        return len(shelf.entries) if shelf is not None else 0

    def records(self, key: NodeId, now: float) -> list[Record]:
        """All records of a key."""
        self.expire(now)
        shelf = self._shelves.get(key)
        return [one.record for one in shelf.entries.values()] if shelf is not None else []

    def holds(self, data: bytes, claim: Claim) -> bool:
        """Whether exactly these bytes, which claim this, are kept."""
        shelf = self._shelves.get(claim.key(self._network))
        entry = shelf.entries.get(claim.place) if shelf is not None else None
        return entry is not None and entry.data == data

    def expire(self, now: float) -> None:
        """Forget what has expired."""
        while self._expiry and self._expiry[0][0] <= now:
            _, key, place, sequence = heapq.heappop(self._expiry)
            shelf = self._shelves.get(key)
            entry = shelf.entries.get(place) if shelf is not None else None
            if entry is not None and entry.record.lifetime.sequence == sequence:
                self._forget(key, place)

    def _forget(self, key: NodeId, place: bytes) -> None:
        shelf = self._shelves[key]
        entry = shelf.entries.pop(place)
        del shelf.ring[bisect_left(shelf.ring, (entry.position, place))]
        self._count(shelf, entry, -1)
        if not shelf.entries:
            del self._shelves[key]

    def _count(self, shelf: _Shelf, entry: _Entry, by: int) -> None:
        self._size += by
        counted: list[tuple[Counter[bytes], bytes]] = [(self._by_host, entry.record.host)]
        if entry.network is not None:
            counted += [(self._by_network, entry.network), (shelf.by_network, entry.network)]
        for counter, name in counted:
            counter[name] += by
            if not counter[name]:
                del counter[name]


def _is_full(shelf: _Shelf, claim: Claim, network: bytes | None) -> bool:
    """Whether a key has no room for one more record."""
    if len(shelf.entries) >= limits.MAX_STORED_PER_KEY:
        return True
    if network is not None and shelf.by_network[network] >= limits.MAX_STORED_PER_KEY_AND_NETWORK:
        return True
    if claim.kind != INDEX:
        return False
    alike = sum(one.record.model.digest == claim.model for one in shelf.entries.values())
    return alike >= limits.MAX_INDEX_PER_MODEL
