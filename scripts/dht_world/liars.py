"""Nodes that lie. Each answers for itself, with a key of its own, as an attacker's node would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

from crypto.digest import sha256
from crypto.identity import Identity
from node.dht.routing import KnownNode
from scripts.dht_world.world import NETWORK, World
from wire import limits
from wire.cbor import dumps
from wire.datagrams import HEAD_BYTES, Head, answer_room, read_head, read_request, write_answer
from wire.dht_messages import Answer, Find, Found, Kind, Outcome, Ping, Pong, Request, Store, Stored
from wire.endpoints import NodeContact, NodeId, network_tag
from wire.errors import BadMessage
from wire.types import Address


class Lie(Enum):
    """What a liar does when it is asked for a key."""

    EMPTY = "says that there is nothing, and names its accomplices"
    FEW = "shows one true record and says that it is all, and names its accomplices"
    JUNK = "answers with bytes that are no answer"
    FORGED = "shows records with a byte changed"
    STALE = "shows what it was given long ago, expired or replaced, and claims thousands"
    INVENTED = "names nodes next to the key that do not exist"
    FLOOD = "answers fifty times"


@dataclass(slots=True)
class Ring:
    """What liars know together."""

    members: list[KnownNode] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    """What they were given to store, the newest last."""

    def nearest(self, key: NodeId) -> tuple[NodeContact, ...]:
        """The accomplices nearest to a key."""
        near = sorted(self.members, key=lambda one: one.contact.node.distance(key))
        return tuple(one.contact for one in near[: limits.CONTACTS_BESIDE_RECORDS])


class Stage(Protocol):
    """Where liars act."""

    @property
    def dice(self) -> Random: ...

    def wall(self) -> float: ...

    def send(self, source: Address, data: bytes, target: Address) -> None: ...


class Liar:
    """A hostile node."""

    def __init__(self, world: Stage, identity: Identity, address: Address, lie: Lie, ring: Ring) -> None:
        self._identity = identity
        self.lie = lie
        self._world = world
        self._address = address
        self._ring = ring
        self._tag = network_tag(NETWORK)
        ring.members.append(KnownNode(identity.public_key, address))

    @property
    def identity(self) -> Identity:
        """Its key."""
        return self._identity

    def receive(self, data: bytes, source: Address) -> None:
        """Answer, if it is a question, in the way that does most harm."""
        try:
            head = read_head(data, self._tag)
            if head.is_answer or head.kind is Kind.KNOCK:
                return
            request = read_request(data, head)
        except BadMessage:
            return
        answer = self._answer(request, source, answer_room(len(data)))
        if answer is None or (self.lie is Lie.JUNK and isinstance(request, Find)):
            self._world.send(self._address, self._junk(head), source)
            return
        sealed = write_answer(answer, self.identity, tag=self._tag, transaction=head.transaction)
        for _ in range(50 if self.lie is Lie.FLOOD else 1):
            self._world.send(self._address, sealed, source)

    def _answer(self, request: Request, source: Address, room: int) -> Answer | None:
        token = bytes(limits.TOKEN_BYTES)
        match request:
            case Ping():
                return Pong(observed=source, token=token)
            case Store():
                # It takes what it is given, and never shows it.
                self._ring.records.append(request.record)
                return Stored(observed=source, outcome=Outcome.STORED, time=int(self._world.wall()))
            case Find():
                contacts, records, total = self._claims(request, (room - 400) // 260)
                return Found(
                    observed=source, token=token, total=total, next=None, contacts=contacts, records=records
                )
        return None

    def _claims(self, find: Find, most: int) -> tuple[tuple[NodeContact, ...], tuple[bytes, ...], int]:
        known = self._ring.records
        ring = self._ring.nearest(find.key)
        match self.lie:
            case Lie.FEW:
                return ring, tuple(known[-1:]), 1
            case Lie.FORGED:
                forged = (one[:-1] + bytes((one[-1] ^ 1,)) for one in known[:most])
                return ring, tuple(forged), len(known)
            case Lie.STALE:
                return ring, tuple(known[:most]), 5_000
            case Lie.INVENTED | Lie.FLOOD:
                return self._invented(find.key), (), 0
        return ring, (), 0

    def _invented(self, key: NodeId) -> tuple[NodeContact, ...]:
        """Nodes nearer to the key than any can be, at addresses where nobody is."""
        dice = self._world.dice
        made = []
        for _ in range(limits.CONTACTS_BESIDE_RECORDS):
            node = NodeId(key.raw[:-4] + dice.randbytes(4))
            ip = f"{dice.randrange(100, 200)}.{dice.randrange(256)}.{dice.randrange(256)}.1"
            made.append(NodeContact(node, Address(ip, 7311)))
        return tuple(made)

    def _junk(self, head: Head) -> bytes:
        """A datagram with the right head, and then something else."""
        body: Sequence[Callable[[], bytes]] = (
            lambda: self._world.dice.randbytes(200),
            lambda: dumps([{}, None, -1, [], [[]], 1.5]) + bytes(96),
            lambda: b"\x81" * 500,
            lambda: self._signed(head, [{}, None, -1, [], [[]], 1.5]),
        )
        start = bytes((0x4C, head.kind | 0x80)) + self._tag + head.transaction
        made = self._world.dice.choice(body)()
        return made if made[:1] == start[:1] and made[1:HEAD_BYTES] == start[1:] else start + made

    def _signed(self, head: Head, value: object) -> bytes:
        body = bytes((0x4C, head.kind | 0x80)) + self._tag + head.transaction
        body += dumps(value) + self.identity.public_key
        return body + self.identity.sign("lamella-dht-answer/1", body)


def infest(world: World, count: int, lies: Sequence[Lie], ring: Ring | None = None) -> Ring:
    """Add liars at random places."""
    ring = ring or Ring()
    for number in range(count):
        address = world.address()
        identity = world.identity(f"liar {number}")
        world.places[address] = Liar(world, identity, address, lies[number % len(lies)], ring)
    return ring


def besiege(world: World, key: NodeId, count: int, lies: Sequence[Lie], ring: Ring | None = None) -> Ring:
    """Add liars that have tried keys until their places were nearer to a key than any honest node's."""
    ring = ring or Ring()
    nearest = min(one.protocol.node.distance(key) for one in world.nodes)
    found = number = 0
    while found < count:
        identity = Identity.from_seed(sha256(b"siege", str(number).encode()))
        number += 1
        known = KnownNode(identity.public_key, Address("198.51.100.1", 1))
        if known.contact.node.distance(key) < nearest:
            address = world.address()
            world.places[address] = Liar(world, identity, address, lies[found % len(lies)], ring)
            found += 1
    return ring
