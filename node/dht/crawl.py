"""One search for a key: whom to ask next, and what to believe of it. No sockets, no clock.

Four requests are under way; a slow one gives its place away and may still answer. Those nearest to the key are asked
until ten of them have answered, twenty when few of them know what others do; then those that hold more than was seen
are asked for further pages. Records of all that answered are merged: no single node, nor the nearest eight, can hide
one.

Contacts are of three paths that share no node, each of which has its turn: what a liar invents comes to its own path
only. Who names nodes that do not exist is not asked about more of them. Kademlia §2.3, S/Kademlia §4.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from kademlia.node import Node, NodeHeap

from node.dht.arcs import ROUND, Arcs
from node.dht.places import limited_network, may_tell
from wire import limits
from wire.dht_messages import Found
from wire.endpoints import NodeContact, NodeId
from wire.records import Record

SUSPECT_AFTER: Final = 3
"""Contacts of one node that turned out dead after which the others it named come last, unless some lived."""
_FAIR_TURN: Final = 3
"""Every how many questions the path that was asked least has its turn."""
_PAGE_RECORDS: Final = 4
"""Records that an answer with contacts has room for, about."""
_FEW: Final = 4
"""Nodes that must have answered before slow ones are given up."""
_FRUITLESS_PAGES: Final = 8
"""Pages in a row without anything new after which a node is not asked for more."""


class State(Enum):
    """How far a candidate has come."""

    NEW = 0
    ASKED = 1
    ANSWERED = 2
    OUT = 3
    """It did not answer, or lied."""


class Candidate(Node):  # type: ignore[misc]  # the library has no types
    """A node that may be asked."""

    def __init__(self, contact: NodeContact, path: int, told_by: Candidate | None) -> None:
        super().__init__(contact.node.raw, contact.address.ip, contact.address.port)
        self.contact = contact
        self.path = path
        self.told_by = told_by
        self.state = State.NEW
        self.paging = False
        self.overdue = False
        self.total = 0
        self.useless_pages = 0
        self.token = b""
        self.seen = Arcs()
        self.cursor = 0
        self.told_dead = 0
        self.told_alive = 0

    @property
    def suspect(self) -> bool:
        """Whether it names nodes that do not exist."""
        return self.told_dead >= SUSPECT_AFTER and self.told_dead > 2 * self.told_alive

    @property
    def suspect_told(self) -> bool:
        """Whether it was named by one that is suspect."""
        return self.told_by is not None and self.told_by.suspect


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask, and from where in the ring of records."""

    candidate: Candidate
    cursor: int
    contacts: bool
    records: bool


@dataclass(slots=True)
class Tally:
    """What a search cost."""

    requests: int = 0
    answers: int = 0
    first_record_s: float | None = None
    took_s: float = 0.0


@dataclass(slots=True)
class Rules:
    """Whom a search may ask."""

    own: NodeId
    usable: Callable[[NodeContact], bool] = field(default=lambda _: True)
    """Whether a contact can be reached from here and is not known to be dead."""
    records: bool = True
    """Whether records are wanted, or only the nearest nodes."""
    width: int = limits.SEARCH_WIDTH
    """How many of the nearest nodes shall have answered."""


class Search:
    """A search, as a machine: `questions` says what to send, the other methods take what came of it."""

    def __init__(self, key: NodeId, start: Iterable[NodeContact], rules: Rules) -> None:
        self.key = key
        self.records: dict[bytes, tuple[bytes, Record]] = {}
        """Of each place the newest record, with its bytes."""
        self.tally = Tally()
        self._rules = rules
        self._fresh: list[Record] = []
        self._target = Node(key.raw)
        self._paths = [NodeHeap(self._target, limits.MAX_CANDIDATES) for _ in range(limits.SEARCH_PATHS)]
        self._turn = 0
        self._asked = [0] * limits.SEARCH_PATHS
        self._known: dict[bytes, Candidate] = {}
        self._networks: Counter[bytes] = Counter()
        self._answered: list[Candidate] = []
        self._seen = Arcs()
        self._in_flight: set[Candidate] = set()
        for number, contact in enumerate(start):
            self._add(contact, number % limits.SEARCH_PATHS, None)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to ask or wait for."""
        if self.tally.requests >= limits.MAX_SEARCH_REQUESTS and not self._active():
            return True
        if self._active() or self._pick() is not None or self._page() is not None:
            return False
        # One that has answered before lives: its page will come. Others that are slow are likely dead.
        promised = any(one.state is State.ANSWERED for one in self._in_flight)
        return not self._in_flight or (len(self._answered) >= _FEW and not promised)

    @property
    def nearest(self) -> list[Candidate]:
        """Those that have answered, nearest first."""
        return self._answered

    def questions(self) -> list[Question]:
        """What to ask now; whoever calls sends all of it."""
        asked = []
        while self._active() < limits.SEARCH_IN_FLIGHT and self.tally.requests < limits.MAX_SEARCH_REQUESTS:
            question = self._first_question() or self._next_page()
            if question is None:
                break
            self.tally.requests += 1
            question.candidate.overdue = False
            self._in_flight.add(question.candidate)
            asked.append(question)
        return asked

    def answered(self, candidate: Candidate, found: Found, records: Iterable[tuple[bytes, Record]]) -> None:
        """A node has answered; `records` are those of its answer, read and checked, that belong to the key."""
        self._in_flight.discard(candidate)
        self.tally.answers += 1
        new = [self._merge(data, record) for data, record in records]
        candidate.total, candidate.token = found.total, found.token
        candidate.seen.cover(candidate.cursor, found.next)
        if found.records:
            self._seen.cover(candidate.cursor, found.next)
        if candidate.paging:
            candidate.useless_pages = 0 if any(new) else candidate.useless_pages + 1
            return
        candidate.state = State.ANSWERED
        self._answered.append(candidate)
        self._answered.sort(key=self._distance)
        if candidate.told_by is not None:
            candidate.told_by.told_alive += 1
        for contact in found.contacts:
            if may_tell(candidate.ip, contact.address.ip):
                self._add(contact, candidate.path, candidate)

    def slow(self, candidate: Candidate) -> None:
        """An answer is overdue; it may still come."""
        candidate.overdue = True

    def failed(self, candidate: Candidate, *, lied: bool = False) -> None:
        """A node did not answer, or what it said was refused."""
        self._in_flight.discard(candidate)
        if candidate in self._answered:
            self._answered.remove(candidate)
        candidate.state = State.OUT
        if candidate.told_by is not None and not lied:
            candidate.told_by.told_dead += 1

    def fresh(self) -> list[Record]:
        """Records that came since this was last asked, each place's newest."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def add_own(self, records: Iterable[tuple[bytes, Record]]) -> None:
        """Take records that are here already."""
        for data, record in records:
            self._merge(data, record)

    def crowd(self) -> int:
        """How many records of the key there are, by the middle one of those asked that have some."""
        totals = sorted(one.total for one in self._answered if one.total)
        return max(len(self.records), totals[len(totals) // 2] if totals else 0)

    def _first_question(self) -> Question | None:
        candidate = self._pick()
        if candidate is None:
            return None
        candidate.state = State.ASKED
        self._turn += 1
        self._asked[candidate.path] += 1
        network = limited_network(candidate.ip)
        if network is not None:
            self._networks[network] += 1
        candidate.cursor = self._cursor()
        return Question(candidate, candidate.cursor, contacts=True, records=self._rules.records)

    def _next_page(self) -> Question | None:
        candidate = self._page()
        if candidate is None:
            return None
        candidate.paging = True
        gap = candidate.seen.largest_gap()
        candidate.cursor = gap[0] if gap is not None else 0
        return Question(candidate, candidate.cursor, contacts=False, records=True)

    def _pick(self) -> Candidate | None:
        """The node to ask next: the nearest of all paths, and in every third turn of the path that was asked least."""
        bound = self._bound()
        heads = [one for one in (self._head(path, bound) for path in self._paths) if one is not None]
        sound = [one for one in heads if not one.suspect_told]
        if sound and self._turn % _FAIR_TURN == _FAIR_TURN - 1:
            return min(sound, key=lambda one: self._asked[one.path])
        if sound:
            return min(sound, key=self._distance)
        wanting = bound is None and not self._in_flight
        return min(heads, key=self._distance) if heads and wanting else None

    def _head(self, path: NodeHeap, bound: int | None) -> Candidate | None:
        """The nearest node of a path that may be asked; one that a suspect told of only if there is no other."""
        doubtful: Candidate | None = None
        for one in path:
            if bound is not None and self._distance(one) >= bound:
                break
            if one.state is not State.NEW or not self._has_room(one):
                continue
            if not one.suspect_told:
                found: Candidate = one
                return found
            doubtful = doubtful or one
        return doubtful

    def _page(self) -> Candidate | None:
        """A node that holds more than was seen and of which a part was not asked for; first whose pages were useful."""
        if not self._rules.records:
            return None
        more = (
            one
            for one in self._answered
            if one not in self._in_flight
            and one.useless_pages < _FRUITLESS_PAGES
            and one.total > len(self.records)
            and one.seen.largest_gap() is not None
        )
        return min(more, key=lambda one: one.useless_pages, default=None)

    def _bound(self) -> int | None:
        """The distance from which nobody needs to be asked; none as long as too few have answered."""
        width = self._rules.width
        known = len(self.records)
        if known and self._rules.records:
            agreeing = sum(known <= 2 * one.total <= 4 * known for one in self._answered)
            if agreeing < limits.SEARCH_AGREEMENT:
                width = limits.MAX_SEARCH_WIDTH
        return self._distance(self._answered[width - 1]) if len(self._answered) >= width else None

    def _active(self) -> int:
        return sum(not one.overdue for one in self._in_flight)

    def _cursor(self) -> int:
        """Where in the ring the next node's records are wanted from: where none were seen, nor are on their way."""
        expected = self._seen.copy()
        page = ROUND * _PAGE_RECORDS // max(_PAGE_RECORDS + 1, self.crowd())
        for one in self._in_flight:
            if not one.overdue:
                expected.cover(one.cursor, (one.cursor + page) % ROUND)
        start, _ = expected.largest_gap() or self._seen.largest_gap() or (0, ROUND)
        return start

    def _has_room(self, candidate: Candidate) -> bool:
        network = limited_network(candidate.ip)
        return network is None or self._networks[network] < limits.SEARCH_CONTACTS_PER_NETWORK

    def _add(self, contact: NodeContact, path: int, told_by: Candidate | None) -> None:
        full = len(self._known) >= limits.MAX_CANDIDATES
        if full or contact.node == self._rules.own or contact.node.raw in self._known:
            return
        if not self._rules.usable(contact):
            return
        candidate = Candidate(contact, path, told_by)
        self._known[candidate.id] = candidate
        self._paths[path].push(candidate)

    def _merge(self, data: bytes, record: Record) -> bool:
        """Keep a record if it is the newest of its place; return whether it says something new."""
        old = self.records.get(record.place)
        if old is not None and old[1].lifetime.sequence >= record.lifetime.sequence:
            return False
        self.records[record.place] = (data, record)
        self._fresh.append(record)
        return True

    def _distance(self, candidate: Candidate) -> int:
        distance: int = self._target.distance_to(candidate)
        return distance
