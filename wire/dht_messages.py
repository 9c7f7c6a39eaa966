"""The questions and answers of DHT nodes, as values; `wire.datagrams` makes bytes of them.

Spec: `specs/dht.md` §Datagrams.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wire.endpoints import NodeContact, NodeId
from wire.types import Address

ANSWER_BIT: Final = 0x80
"""What tells the kind of an answer from that of its request."""


class Kind(IntEnum):
    """The second byte of a datagram."""

    PING = 1
    FIND = 2
    STORE = 3
    REACH = 4
    PROBE = 5
    KNOCK = 6
    PONG = ANSWER_BIT | PING
    FOUND = ANSWER_BIT | FIND
    STORED = ANSWER_BIT | STORE
    REACHING = ANSWER_BIT | REACH
    PROBED = ANSWER_BIT | PROBE


class Outcome(IntEnum):
    """What became of a record that was to be stored."""

    STORED = 0
    BAD_TOKEN = 1
    """The write token is not one this address was given lately."""
    REFUSED = 2
    """It is not a record of this network."""
    UNTIMELY = 3
    """It has expired, or is issued in the future, by the clock told in the answer."""
    STALE = 4
    """A newer record of the same place is here."""
    FULL = 5
    """There is no room, in all or for this host, network or key."""
    TOO_FAR = 6
    """Many nodes are nearer to its key."""


class Help(IntEnum):
    """How a node that was asked to have somebody knock went about it."""

    NOBODY = 0
    ITSELF = 1
    """It knocks from another port of its own."""
    ANOTHER = 2
    """It has asked another node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Asks for a sign of life; challenges who claims to be a node."""

    sender: NodeId
    serves: bool
    """Whether the sender can be reached by others, and wants to be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Asks for the nodes nearest to a key, and a page of its records."""

    sender: NodeId
    serves: bool
    key: NodeId
    cursor: int = 0
    """The place in the ring of records (specs/dht.md §Pages) from which records are wanted."""
    contacts: bool = True
    """Whether contacts are wanted; without them there is room for one more record."""
    records: bool = True
    """Whether records are wanted; without them there is room for more contacts."""
    v4: bool = True
    """Whether the sender can use contacts of IPv4."""
    v6: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Hands a record over."""

    sender: NodeId
    serves: bool
    token: bytes
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Asks to have another node knock at the address that this comes from."""

    sender: NodeId
    serves: bool
    token: bytes
    nonce: bytes
    """What the knock shall carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Asks to knock at an address, for a third node that asked for it from there."""

    sender: NodeId
    serves: bool
    token: bytes
    target: Address
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """Shows that its sender's datagrams arrive; its transaction is the nonce. Never answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to `ping`."""

    observed: Address
    """Where the request came from."""
    token: bytes
    """What a `store`, `reach` or `probe` from there has to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer to `find`."""

    observed: Address
    token: bytes
    total: int
    """How many records of the key are here."""
    next: int | None
    """The cursor of the page after this one; none when this one ends where the ring was begun."""
    contacts: tuple[NodeContact, ...]
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The answer to `store`."""

    observed: Address
    outcome: Outcome
    time: int
    """The clock it was judged by: Unix time in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaching:
    """The answer to `reach`."""

    observed: Address
    help: Help


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The answer to `probe`."""

    observed: Address
    done: bool


Request = Ping | Find | Store | Reach | Probe
Answer = Pong | Found | Stored | Reaching | Probed
