"""How others reach this host: addresses proven by peers, ports held open in the router, relays, direct links again.

Joins `node.reach` and `node.relay` with the links and the DHT. What is announced here was proven: a peer has connected
to it and brought back what only it was told. Spec: `specs/reachability.md`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.identity import Identity, PeerId
from node.dht.sockets import is_own
from node.discovery.scope import Scope, scope_of
from node.finding import Finder
from node.reach.dial_back import Proven
from node.reach.mapping import PortMapper
from node.reach.observed import Nat, Observed
from node.reach.ports import Mapped
from node.reach.proving import Prover
from node.reach.standing import Standing
from node.relay.client import RelayClient
from node.relay.keeping import Keeper
from node.relay.service import RelayService
from node.roads import Roads
from node.transport.link import Link
from node.transport.pool import LinkPool
from node.transport.ways import Upgrader
from wire.handshake import LISTENS
from wire.messages.base import Message
from wire.messages.reach import Transport
from wire.relay import Terms
from wire.types import Address, Relayed

log = logging.getLogger(__name__)

SAY_S: Final = 3.0
"""How soon it is told that nobody reaches this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachTerms:
    """What a host does to be reached, and for others to be."""

    maps: bool = True
    """Whether to ask the router to let others through."""
    relay: Terms | None = None
    """What is carried for peers that nobody can dial; nothing when None."""
    sent: Callable[[int], None] = lambda _: None
    """Told of the bytes of each datagram that is sent to show a peer that it can be reached."""


class Reaching:
    """The reachability of one process."""

    def __init__(
        self, identity: Identity, terms: ReachTerms, *, pool: LinkPool, finder: Finder, roads: Roads
    ) -> None:
        self._pool = pool
        self._finder = finder
        self._roads = roads
        self._maps = terms.maps
        self._listens: tuple[Address, ...] = ()
        self._mapper: PortMapper | None = None
        self._said: str | None = None
        self._service = RelayService(identity, terms.relay)
        self._client = RelayClient(identity.peer_id, link_to=pool.link_to, accept=pool.accept_carried)
        self._prover = Prover(tell=pool.tell, sent=terms.sent)
        self._observed = Observed()
        self._standing = Standing(
            self._prover,
            lines=self._lines,
            ports=self._ports,
            on_change=self._changed,
            proven=Proven(ours=self._is_ours),
        )
        self._keeper = Keeper(
            self._client,
            relays=self._relays,
            wanted=lambda: self._standing.needs_relay,
            on_change=lambda _: self._announce(),
        )
        self._upgrader = Upgrader(pool, roads.addresses)
        pool.carry_by(self._client)
        pool.on_brief = self._prover.on_proof
        pool.on_linked = lambda _: self._standing.hurry()
        finder.observe(self._seen)
        finder.take_aside(self._prover.on_datagram)

    def listens(self, addresses: Sequence[Address]) -> None:
        """Say where links are taken; once, before `run`."""
        self._listens = tuple(addresses)
        outward = [one for one in addresses if not ipaddress.ip_address(one.ip).is_loopback]
        if self._maps and outward:
            port = outward[0].port
            self._mapper = PortMapper([(Transport.TCP, port), (Transport.UDP, port)], on_change=self._mapped)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where peers reach this host, as was proven: of addresses that reach far and others those that do."""
        proven = self._standing.addresses(Transport.TCP)
        widest = max((scope_of(one) for one in proven), default=Scope.GLOBAL)
        return tuple(one for one in proven if scope_of(one) is widest)

    @property
    def relays(self) -> tuple[Relayed, ...]:
        """By which relays peers reach this host."""
        return self._keeper.addresses

    @property
    def circuits(self) -> int:
        """Links carried for others now."""
        return self._service.circuits

    @property
    def carried_bytes(self) -> int:
        """Bytes handed on for others since the start."""
        return self._service.carried_bytes

    def is_busy(self, link: Link) -> bool:
        """Whether a link carries others, or holds a reservation."""
        return self._service.is_busy(link) or self._client.is_busy(link)

    def on_message(self, link: Link, message: Message) -> None:
        """Take a message of a link; what is about neither relays nor dial-backs is not for this."""
        if not self._service.on_message(link, message):
            self._client.on_message(link, message)
        self._prover.on_message(link, message)

    def on_closed(self, link: Link) -> None:
        """A link is over."""
        self._service.on_closed(link)
        self._client.on_closed(link)
        self._prover.on_closed(link.peer_id)

    async def run(self) -> None:
        """Be reached until cancelled; then give the router's ports back."""
        async with asyncio.TaskGroup() as group:
            for part in (self._prover, self._standing, self._service, self._keeper, self._upgrader):
                group.create_task(part.run())
            if self._mapper is not None:
                group.create_task(self._mapper.run())
            group.create_task(self._follow())

    def sentence(self) -> str:
        """How this host is reached, or why it is not and what to do, for a person."""
        if self.addresses:
            return f"peers reach this host at {', '.join(map(str, self.addresses))}"
        if self.relays:
            return f"peers reach this host by relays only ({', '.join(map(str, self.relays))})"
        if not self._standing.was_tried:
            return "no peer has tried yet to reach this host"
        port = self._listens[0].port if self._listens else 0
        if self._observed.nat(4, time.monotonic()) is Nat.SYMMETRIC:
            why = "its router gives every peer another port"
        elif self._mapper is not None and self._mapper.problem is not None:
            why = self._mapper.problem.cause
        else:
            why = "nothing comes through the firewall or router"
        return (
            f"no peer reaches this host ({why}) and no peer that it knows is a relay; "
            f"forward TCP and UDP port {port} in the router, or name a relay with --peer"
        )

    async def _follow(self) -> None:
        """Begin anew whenever this machine comes to another network; tell how it is reached whenever that changes."""
        while True:
            self._say()
            try:
                async with asyncio.timeout(SAY_S):
                    await self._roads.moved.wait()
            except TimeoutError:
                continue
            self._roads.moved.clear()
            self._observed.forget()
            self._standing.forget()
            if self._mapper is not None:
                self._mapper.hurry()

    def _say(self) -> None:
        said = self.sentence()
        if said != self._said and (self._said is not None or self._standing.was_tried):
            self._said = said
            alone = self._standing.needs_relay and not self.relays
            log.log(logging.WARNING if alone else logging.INFO, "%s", said)

    def _lines(self) -> list[Link]:
        """Links to peers that take links themselves: a client has no means to dial back."""
        return [
            one
            for one in self._pool.links.values()
            if one.via is None and (not one.inbound or LISTENS in one.peer.features)
        ]

    def _ports(self) -> list[tuple[Transport, int]]:
        own = [(transport, one.port) for one in self._listens for transport in Transport]
        mapped = [(one.transport, one.external.port) for one in self._held()]
        return list(dict.fromkeys((*own, *mapped)))

    def _held(self) -> tuple[Mapped, ...]:
        return self._mapper.mapped if self._mapper is not None else ()

    def _is_ours(self, address: Address) -> bool:
        """Whether this machine has the address, or its router says so."""
        return any(one.external.ip == address.ip for one in self._held()) or is_own(address.ip)

    def _relays(self) -> list[tuple[PeerId, Address]]:
        """Peers that may carry links: those that are linked directly and were dialled, so that others can dial them."""
        return [(one.peer_id, one.remote) for one in self._lines() if not one.inbound]

    def _seen(self, address: Address, by: Address) -> None:
        self._observed.saw(by.ip, address, datagram=True, now=time.monotonic())

    def _mapped(self, mapped: tuple[Mapped, ...]) -> None:
        for one in mapped:
            log.info("the router lets %s through (%s)", one.external, one.method)
        self._standing.hurry()

    def _changed(self, transport: Transport, addresses: tuple[Address, ...]) -> None:
        if transport is Transport.TCP:
            self._announce()
            return
        # Behind a router a datagram may come in just because one went out to the same machine. Where the address is
        # this machine's own there is no router.
        self._finder.receives_at(one for one in addresses if is_own(one.ip))

    def _announce(self) -> None:
        self._finder.reached_at(self.addresses, self.relays)
        if self.addresses or self.relays:
            self._say()
