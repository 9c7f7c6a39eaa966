"""What the book of contacts knows of one contact: by which roads it came, how it answered, when to try it again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from crypto.identity import PeerId
from wire.contacts import Contact


class Road(IntEnum):
    """How a contact came here; the lower, the more whoever said so is to be believed."""

    CONFIGURED = 0
    INVITED = 1
    """By a join string."""
    LAN = 2
    BOOTSTRAP = 3
    REMEMBERED = 4
    """It answered at an earlier start, or came by a road that has been withdrawn since."""
    DHT = 5
    EXCHANGE = 6
    """A peer told of it."""


class Failure(Enum):
    """Why a contact could not be used."""

    NO_NETWORK = "no network"
    """This machine has no route; the contact is not to blame."""
    SILENT = "silent"
    REFUSED = "refused"
    BROKEN = "broken"
    """Something else than Lamella answers, or another version of it."""
    OTHER_NETWORK = "other network"
    SOMEONE_ELSE = "someone else"
    """Another peer answers than was expected."""


PLACES: Final = {
    Road.CONFIGURED: 64,
    Road.INVITED: 64,
    Road.LAN: 256,
    Road.BOOTSTRAP: 64,
    Road.REMEMBERED: 256,
    Road.DHT: 384,
    Road.EXCHANGE: 384,
}
"""Security limit: entries of each road, so that one that lies cannot crowd out the others."""
NAMED_BY_A_PERSON: Final = frozenset({Road.CONFIGURED, Road.INVITED})
KEPT: Final = frozenset({Road.CONFIGURED, Road.INVITED, Road.LAN, Road.BOOTSTRAP})
"""Roads that say themselves when a contact is over."""

KEPT_S: Final = 14 * 86_400.0
"""How long a contact that answered once is worth a try."""
HEARSAY_S: Final = 3_600.0
"""How long a stranger's word is kept when nobody answers there; till then it is known to fail, if told again."""

FIRST_WAIT_S: Final = 2.0
"""After a first failure; doubled by each further one."""
FIRST_NEAR_WAIT_S: Final = 0.5
"""The same for what a person named or the local network shows: it may just be starting, too."""
LONGEST_WAIT_S: Final = 900.0
LONGEST_NEAR_WAIT_S: Final = 60.0
"""For what a person named or the local network shows: somebody may be waiting for it to come back."""
MISTAKEN_WAIT_S: Final = 3_600.0
"""Before who answered as somebody else, or in another network, is tried again."""
NO_NETWORK_WAIT_S: Final = 5.0
AGAIN_S: Final = 60.0
"""After an answer: how long until the contact is handed out again, should its link be gone."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One contact in the book. Times are those of the book's clock."""

    contact: Contact
    heard: float
    due: float
    roads: set[Road]
    teller: PeerId | None = None
    """With road `EXCHANGE`: who told of it."""
    answered: float | None = None
    proved: PeerId | None = None
    """Who proved to be there when it answered."""
    failure: Failure | None = None
    """Why the last attempt failed; None when it did not."""
    failures: int = 0
    """In a row."""

    @property
    def road(self) -> Road:
        """The best road by which it came."""
        return min(self.roads)

    @property
    def peer(self) -> PeerId | None:
        """Who is expected there, or else who was met there."""
        return self.contact.peer or self.proved

    @property
    def rank(self) -> tuple[int, float, float]:
        """Smaller is better to try: fewer failures, a later answer, heard of earlier."""
        last = float("-inf") if self.answered is None else self.answered
        return (self.failures, -last, self.heard)

    def over(self, now: float) -> bool:
        """Whether there is no reason left to keep it."""
        if self.roads & KEPT:
            return False
        if self.answered is not None:
            return now - self.answered >= KEPT_S
        return now - self.heard >= HEARSAY_S

    def answer(self, peer: PeerId, now: float) -> None:
        """Take note that `peer` answered there."""
        self.answered, self.proved = now, peer
        self.failure, self.failures = None, 0
        self.due = now + AGAIN_S

    def fail(self, why: Failure, now: float, stretch: float) -> None:
        """Take note of a failure. `stretch` spreads the waits of many programs that fail at once; near 1."""
        self.failure = why
        if why is Failure.NO_NETWORK:
            self.due = now + NO_NETWORK_WAIT_S * stretch
            return
        if why is Failure.SOMEONE_ELSE:
            # What it answered before was another machine's doing.
            self.answered, self.heard = None, now
        self.failures += 1
        self.due = now + self._wait_s(why) * stretch

    def _wait_s(self, why: Failure) -> float:
        if why in (Failure.OTHER_NETWORK, Failure.SOMEONE_ELSE):
            return MISTAKEN_WAIT_S
        near = bool(self.roads & NAMED_BY_A_PERSON) or Road.LAN in self.roads
        first, longest = (FIRST_NEAR_WAIT_S, LONGEST_NEAR_WAIT_S) if near else (FIRST_WAIT_S, LONGEST_WAIT_S)
        doublings = min(self.failures - 1, 16)
        return min(first * 2.0**doublings, longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the book says of one contact, for people and for the file."""

    contact: Contact
    roads: tuple[Road, ...]
    """Best first."""
    answered_s: float | None
    """Seconds since it last answered; None when it never did."""
    failure: Failure | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A contact that answered before this process began."""

    contact: Contact
    age_s: float
    """Seconds since it answered."""
