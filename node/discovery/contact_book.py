"""All contacts that any road has brought, and whom to try next.

Pure: it dials nobody, reads no clock and no disk. Times are seconds of one clock that never goes back (a wall clock
that is set would make every wait wrong); `book_file` turns them into ages.

Contacts are handed out from all roads in turn, so that a road that lies in numbers delays the honest ones by its share
and no more. Rejected: one order over all contacts, which whoever tells most contacts decides.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from itertools import zip_longest
from typing import Final

from crypto.identity import PeerId
from node.discovery.entries import NAMED_BY_A_PERSON, PLACES, Entry, Failure, Known, Met, Road
from node.discovery.trouble import Trouble, of_all, of_one
from wire.contacts import Contact

MAX_PER_TELLER: Final = 32
"""Security limit: entries that one peer told of and nobody else did."""
TRYING_S: Final = 30.0
"""A contact that was handed out and of which nothing was heard since is handed out again after this."""
NOBODY: Final[frozenset[PeerId]] = frozenset()


class ContactBook:
    """Where peers may be, who said so, and how they answered."""

    def __init__(self, *, own: PeerId | None = None, draw: random.Random | None = None) -> None:
        """Begin an empty book.

        Args:
            own: this process's peer id, whose contacts are not taken.
            draw: what spreads waits; a new source of randomness when None.
        """
        self._own = own
        self._draw = draw or random.Random()  # noqa: S311 - it spreads dials over time and hides nothing
        self._entries: dict[Contact, Entry] = {}
        self._lines: dict[Road, dict[Contact, Entry]] = {road: {} for road in Road}
        """The same entries, each under its best road."""

    def __len__(self) -> int:
        return len(self._entries)

    def heard(
        self, contacts: Iterable[Contact], road: Road, now: float, *, teller: PeerId | None = None
    ) -> int:
        """Take contacts of one road; return how many are new.

        Args:
            teller: with `Road.EXCHANGE`, the peer that told of them.
        """
        self._forget(now)
        told = sum(one.teller == teller for one in self._lines[road].values()) if teller is not None else 0
        new, full = 0, False
        for contact in contacts:
            entry = self._entries.get(contact)
            if entry is not None:
                self._by_another_road(entry, road, now)
            elif self._is_own(contact) or (teller is not None and told + new >= MAX_PER_TELLER):
                continue
            elif not full and self._room(road):
                self._put(Entry(contact=contact, heard=now, due=now, roads={road}, teller=teller))
                new += 1
            else:
                full = True
        return new

    def met(self, contacts: Iterable[Met], now: float) -> None:
        """Take contacts that answered before this process began, latest first."""
        for one in contacts:
            if self.heard([one.contact], Road.REMEMBERED, now):
                entry = self._entries[one.contact]
                entry.answered = now - max(one.age_s, 0.0)
        self._forget(now)

    def withdrawn(self, contact: Contact, road: Road) -> None:
        """Take note that a road no longer names a contact. One that answered is remembered all the same."""
        entry = self._entries.get(contact)
        if entry is None or road not in entry.roads:
            return
        self._drop(entry)
        entry.roads.discard(road)
        if not entry.roads and entry.answered is not None:
            entry.roads.add(Road.REMEMBERED)
        if entry.roads and self._room(entry.road):
            self._put(entry)

    def due(self, now: float, most: int, *, linked: Collection[PeerId] = NOBODY) -> list[Contact]:
        """Return contacts to try now, best first, and take them as being tried.

        Args:
            most: how many at the most.
            linked: peers this process has links to; they count as answering, and are not tried.
        """
        for entry in self._entries.values():
            if entry.answered is not None and entry.proved in linked:
                entry.answered = now
        self._forget(now)
        lines = [
            sorted((one for one in line.values() if one.due <= now and one.peer not in linked), key=_rank)
            for line in self._lines.values()
        ]
        chosen = [one for turn in zip_longest(*lines) for one in turn if one is not None][: max(most, 0)]
        for entry in chosen:
            entry.due = now + TRYING_S
        return [entry.contact for entry in chosen]

    def askable(self, now: float, most: int) -> list[Contact]:
        """Return contacts to ask something now, best first: all but those that failed and are not due again."""
        self._forget(now)
        lines = [
            sorted((one for one in line.values() if one.failure is None or one.due <= now), key=_rank)
            for line in self._lines.values()
        ]
        chosen = [one for turn in zip_longest(*lines) for one in turn if one is not None]
        return [entry.contact for entry in chosen[: max(most, 0)]]

    def next_due_s(self, now: float, *, linked: Collection[PeerId] = NOBODY) -> float | None:
        """Seconds until `due` has something to hand out; None when it has nothing to wait for."""
        waits = [one.due for one in self._entries.values() if one.peer not in linked]
        return max(0.0, min(waits) - now) if waits else None

    def answered(self, contact: Contact, peer: PeerId, now: float) -> None:
        """Take note that `peer` proved to be at a contact."""
        entry = self._entries.get(contact)
        if entry is not None:
            entry.answer(peer, now)

    def failed(self, contact: Contact, why: Failure, now: float) -> Trouble | None:
        """Take note of a failure; return what to tell the person who named this contact, once for each reason."""
        entry = self._entries.get(contact)
        if entry is None:
            return None
        news = entry.failure is not why
        entry.fail(why, now, self._draw.uniform(0.75, 1.25))
        named = bool(entry.roads & NAMED_BY_A_PERSON)
        return of_one(contact, why) if news and named else None

    def network_changed(self, now: float) -> None:
        """Try everybody again at once: this machine's addresses changed, and failures from before mean little."""
        for entry in self._entries.values():
            if entry.failure not in (Failure.OTHER_NETWORK, Failure.SOMEONE_ELSE):
                entry.due = min(entry.due, now)

    def why_alone(self) -> Trouble | None:
        """Why nobody can be reached; None when some contact answered last time, or has not been tried yet."""
        return of_all(list(self._entries.values()))

    def known(self, now: float) -> tuple[Known, ...]:
        """Return everything in the book, best roads first."""
        self._forget(now)
        entries = sorted(self._entries.values(), key=lambda one: (one.road, one.rank))
        return tuple(
            Known(
                contact=one.contact,
                roads=tuple(sorted(one.roads)),
                answered_s=None if one.answered is None else max(0.0, now - one.answered),
                failure=one.failure,
                failures=one.failures,
            )
            for one in entries
        )

    def _by_another_road(self, entry: Entry, road: Road, now: float) -> None:
        """Take note that an entry was heard of again. It stays with its teller until a better road vouches for it."""
        if road > Road.REMEMBERED and entry.road <= road:
            return
        if road in entry.roads:
            return
        if road < entry.road:
            if not self._room(road):
                return
            entry.due = min(entry.due, now)
            entry.teller = None
        self._drop(entry)
        entry.roads.add(road)
        self._put(entry)

    def _room(self, road: Road) -> bool:
        """Whether a road has a place for one more; a contact that only ever failed makes way."""
        if len(self._lines[road]) < PLACES[road]:
            return True
        spare = [one for one in self._lines[road].values() if one.answered is None and one.failures]
        if road in NAMED_BY_A_PERSON or not spare:
            return False
        self._drop(max(spare, key=_rank))
        return True

    def _is_own(self, contact: Contact) -> bool:
        return contact.peer is not None and contact.peer == self._own

    def _put(self, entry: Entry) -> None:
        self._entries[entry.contact] = self._lines[entry.road][entry.contact] = entry

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.contact], self._lines[entry.road][entry.contact]

    def _forget(self, now: float) -> None:
        for entry in [one for one in self._entries.values() if one.over(now)]:
            self._drop(entry)


def _rank(entry: Entry) -> tuple[int, float, float]:
    return entry.rank
