"""What one node answers, and whom it takes as a contact. No sockets, no clock: `specs/dht.md` §Roles.

Whatever arrives is hostile: it costs little, changes nothing without a signature or a write token, and never raises.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crypto.identity import Identity
from node.dht.admission import Challenges
from node.dht.conduct import Conducts
from node.dht.exchange import Ask, Exchange, Failure, Reply
from node.dht.places import limited_network, may_tell
from node.dht.reading import RecordReader
from node.dht.routing import Families, KnownNode, Routing
from node.dht.sources import Sources
from node.dht.storage import RecordStore
from node.dht.tokens import WriteTokens
from wire import limits
from wire.claims import read_claim
from wire.datagrams import (
    HEAD_BYTES,
    SEAL_BYTES,
    Head,
    answer_room,
    read_head,
    read_request,
    write_answer,
    write_knock,
)
from wire.dht_messages import (
    Answer,
    Find,
    Found,
    Help,
    Kind,
    Outcome,
    Ping,
    Pong,
    Probe,
    Probed,
    Reach,
    Reaching,
    Request,
    Store,
    Stored,
)
from wire.endpoints import NodeContact, NodeId, network_tag, node_id_of, pack_contact
from wire.errors import BadMessage, InvalidValue
from wire.records import Forged, Record, Untimely, check_times
from wire.types import Address

_FOUND_BYTES: Final = HEAD_BYTES + SEAL_BYTES + 60
"""What an answer to `find` takes beside contacts and records."""
_COUNTED: Final = {one: f"store {one.name.lower()}" for one in Outcome}
"""What each outcome is counted as."""
MAX_CONTACTED: Final = 8_192
"""Addresses, and their IP alone, remembered as ones we have sent to; a knock from them proves nothing."""
KNOCKS_PER_S: Final = 4.0
"""Security limit: knocks of one node for others."""


@dataclass(frozen=True, slots=True)
class Knocked:
    """A knock came, from an address that this node has not sent anything to."""

    nonce: bytes
    source: Address
    stranger: bool
    """Whether nothing was sent to any port of its IP address either."""


class Protocol:
    """One node's side of every exchange."""

    def __init__(
        self,
        identity: Identity,
        network: str,
        *,
        random: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float = 0.0,
    ) -> None:
        """`random` gives that many random bytes, `wall` Unix time in s; `now` is monotonic time, as everywhere."""
        self.identity = identity
        self.network = network
        self.node = node_id_of(identity.public_key)
        self.serves = False
        """Whether others can reach this node and may know it."""
        self.tag = network_tag(network)
        self.random = random
        self.wall = wall
        self.storage = RecordStore(network)
        self.reader = RecordReader(network)
        self.routing = Routing(self.node)
        self.exchange = Exchange(self.tag, random)
        self.on_knock: Callable[[Knocked], None] = lambda _: None
        self.on_reach: Callable[[Reach, Address], Help] = lambda *_: Help.NOBODY
        """Called for a node that wants to be knocked at; says who will do it."""
        self.on_observed: Callable[[Address, Address], None] = lambda *_: None
        """Called with where a node sees us, and that node's address."""
        self.counts = self.exchange.counts
        self.conducts = Conducts()
        self._tokens = WriteTokens(random, now)
        self._sources = Sources()
        self._challenges = Challenges()
        self._contacted: OrderedDict[str, None] = OrderedDict()
        self._next_knock_at = now
        self._out: list[tuple[bytes, Address]] = []

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram. Never raises for what is in it."""
        if self.conducts.muted(source, now):
            self.counts["muted"] += 1
            return
        if not self._sources.allow(source.ip, now):
            self.counts["throttled"] += 1
            return
        try:
            head = read_head(data, self.tag)
            if head.is_answer:
                self._take_answer(data, head, source, now)
            elif head.kind is Kind.KNOCK:
                self._take_knock(head, source)
            else:
                self._answer(read_request(data, head), data, head, source, now)
        except Forged:
            self.counts["forged"] += 1
            self.conducts.forged(source, now)
        except (BadMessage, InvalidValue):
            self.counts["refused"] += 1

    def ask(self, ask: Ask, now: float) -> None:
        """Send a request; who does not answer is no contact any longer."""
        done = ask.done

        def end(result: Reply | Failure) -> None:
            if ask.node is not None and result in (Failure.LOST, Failure.IMPOSTOR, Failure.FORGED):
                self._drop(ask.node, ask.address)
            done(result)

        ask.done = end
        self.exchange.ask(ask, now)

    def ping(self, contact: NodeContact, now: float, done: Callable[[Reply | Failure], None]) -> None:
        """Ask a node for a sign of life."""
        self.ask(Ask(Ping(sender=self.node, serves=self.serves), contact.address, contact.node, done), now)

    def knock(self, target: Address, nonce: bytes) -> None:
        """Send a knock."""
        self._out.append((write_knock(tag=self.tag, nonce=nonce), target))

    def token_for(self, address: Address, now: float) -> bytes:
        """The write token of an address."""
        return self._tokens.make(address, now)

    def on_time(self, now: float) -> None:
        """Act on what is overdue."""
        self.exchange.on_time(now)

    def next_timeout(self) -> float | None:
        """When `on_time` has something to do next."""
        return self.exchange.next_timeout()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Hand over what is to be sent, and where."""
        out, self._out = [*self._out, *self.exchange.datagrams_to_send()], []
        for _, address in out:
            for where in (str(address), address.ip):
                self._contacted[where] = None
                self._contacted.move_to_end(where)
        while len(self._contacted) > MAX_CONTACTED:
            self._contacted.popitem(last=False)
        return out

    def close(self) -> None:
        """End all requests."""
        self.exchange.close()

    def _take_answer(self, data: bytes, head: Head, source: Address, now: float) -> None:
        reply = self.exchange.receive(data, head, source, now)
        if reply is None:
            return
        if may_tell(source.ip, reply.answer.observed.ip):
            self.on_observed(reply.answer.observed, source)
        known = self.routing.get(reply.node)
        if known is not None and known.contact.address == source:
            self.routing.add(known)

    def _take_knock(self, head: Head, source: Address) -> None:
        if str(source) not in self._contacted:
            self.on_knock(Knocked(head.transaction, source, source.ip not in self._contacted))

    def _answer(self, request: Request, data: bytes, head: Head, source: Address, now: float) -> None:
        if request.sender == self.node:
            self.counts["own"] += 1
            return
        answer = self._answer_to(request, len(data), source, now)
        if answer is not None:
            sealed = write_answer(answer, self.identity, tag=self.tag, transaction=head.transaction)
            if len(sealed) <= answer_room(len(data)):
                self._out.append((sealed, source))
        if request.serves:
            self._consider(NodeContact(request.sender, source), now)

    def _answer_to(self, request: Request, request_bytes: int, source: Address, now: float) -> Answer | None:
        match request:
            case Ping():
                return Pong(observed=source, token=self.token_for(source, now))
            case Find():
                return self._find(request, answer_room(request_bytes), source, now)
            case Store():
                outcome = self._store(request, source, now)
                if outcome is None:
                    return None
                return Stored(observed=source, outcome=outcome, time=int(self.wall()))
            case Reach():
                if not self._tokens.check(request.token, source, now):
                    return None
                return Reaching(observed=source, help=self.on_reach(request, source))
            case Probe():
                return self._probe(request, source, now)

    def _find(self, find: Find, room: int, source: Address, now: float) -> Found:
        beside = find.records and self.storage.count(find.key, self.wall())
        most = limits.CONTACTS_BESIDE_RECORDS if beside else limits.MAX_ANSWER_CONTACTS
        contacts: tuple[NodeContact, ...] = ()
        if find.contacts:
            families = Families(v4=find.v4, v6=find.v6)
            near = self.routing.nearest(find.key, most, families=families, but=find.sender)
            contacts = tuple(one.contact for one in near if may_tell(source.ip, one.ip))
        room -= _FOUND_BYTES + sum(len(pack_contact(one)) + 2 for one in contacts)
        page = self.storage.page(find.key, find.cursor, room if find.records else 0, self.wall())
        return Found(
            observed=source,
            token=self.token_for(source, now),
            total=page.total,
            next=page.next,
            contacts=contacts,
            records=page.records,
        )

    def _store(self, store: Store, source: Address, now: float) -> Outcome | None:
        """What became of a record; none when no honest node is helped by an answer, whose signature is dear."""
        if not self._tokens.check(store.token, source, now):
            return None
        outcome, changed = self._keep(store.record, source, now)
        self.counts[_COUNTED[outcome]] += 1
        if changed:
            return outcome
        heard = outcome is not Outcome.REFUSED and self.conducts.fruitless(source, now)
        return outcome if heard else None

    def _keep(self, data: bytes, source: Address, now: float) -> tuple[Outcome, bool]:
        """Keep a record if it is one; say what became of it, and whether that is anything new. Cheap checks first."""
        wall, network = self.wall(), limited_network(source.ip)
        try:
            claim = read_claim(data)
            check_times(claim, wall)
            if self.storage.holds(data, claim):
                return Outcome.STORED, False
            outcome = self.storage.judge(claim, network, wall)
            key = claim.key(self.network)
        except Untimely:
            return Outcome.UNTIMELY, False
        except BadMessage:
            return Outcome.REFUSED, False
        if outcome is not Outcome.STORED:
            return outcome, False
        if not self.conducts.may_check(source, now):
            self.counts["put off"] += 1
            return Outcome.REFUSED, False
        if self.routing.nearer(key) >= limits.STORE_NEARER:
            return Outcome.TOO_FAR, False
        record = self._check(data, source, now, wall)
        if record is None:
            return Outcome.REFUSED, False
        return self.storage.store(data, record, network, wall), True

    def _check(self, data: bytes, source: Address, now: float, wall: float) -> Record | None:
        """The record, if its host signed it: the dear part, for who has shown a token and has not wasted it before."""
        try:
            record = self.reader.read(data, wall)
        except Forged:
            self.conducts.forged(source, now)
            return None
        except BadMessage:
            # Its host has signed it: it may be a later version's, and no forgery.
            self.conducts.vain(source, now)
            return None
        self.conducts.honest(source, now)
        return record

    def _probe(self, probe: Probe, source: Address, now: float) -> Probed | None:
        if not self._tokens.check(probe.token, source, now):
            return None
        allowed = may_tell(source.ip, probe.target.ip) and now >= self._next_knock_at
        if allowed:
            self._next_knock_at = now + 1 / KNOCKS_PER_S
            self.knock(probe.target, probe.nonce)
        return Probed(observed=source, done=allowed)

    def _consider(self, contact: NodeContact, now: float) -> None:
        """Challenge a sender that claims to be a node, if there is room for it."""
        if not self.routing.wants(contact) or not self._challenges.begin(contact):
            return

        def done(result: Reply | Failure) -> None:
            self._challenges.end(contact)
            if isinstance(result, Reply):
                self.welcome(result, contact.address, now)

        self.exchange.ask(
            Ask(Ping(sender=self.node, serves=self.serves), contact.address, contact.node, done), now
        )

    def welcome(self, reply: Reply, address: Address, now: float) -> None:
        """Take as a contact who has answered from its address, and check one that stands in its way."""
        check = self.routing.add(KnownNode(reply.public_key, address))
        if check is not None and self._challenges.begin(check.contact):
            contact = check.contact
            self.ping(contact, now, lambda _: self._challenges.end(contact))

    def _drop(self, node: NodeId, address: Address) -> None:
        known = self.routing.get(node)
        if known is not None and known.contact.address == address:
            self.routing.remove(node)
