"""All links of a process: one per pair of peers, dialled or accepted, counted, reused, closed when idle.

A dial is made by the first caller that needs it and awaited by the others; there are no background tasks, only links
(driven by their sockets) and one timer that looks for idle ones.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from crypto.identity import Identity, PeerId
from crypto.keys import KeyPair
from node.transport.carrier import Carrier
from node.transport.dial import Connect, dial, explain
from node.transport.errors import (
    DialError,
    DialTimedOut,
    DialUnreachable,
    LinkClosed,
    PoolClosed,
    TooManyLinks,
)
from node.transport.link import Link, LinkCallbacks
from node.transport.listen import Doorkeeper, bound_address, listen
from node.transport.pace import Pace
from node.transport.registry import Registry
from wire import limits
from wire.codes import Code
from wire.connection import Connection, ConnectionConfig
from wire.connection_table import State
from wire.handshake import BRIEF, LISTENS
from wire.messages.base import Message
from wire.types import Address, Relayed


def _ignore(*_: object) -> None:
    """What happens on a link for one message is seen by whoever opened it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that have passed, encrypted."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.sent + other.sent, self.received + other.received)


def _moved(link: Link) -> Moved:
    return Moved() if link.via is not None else Moved(link.sent_bytes, link.received_bytes)


class _Dial:
    """A dial that is under way, for those who wait for it."""

    def __init__(self, address: Address | Relayed) -> None:
        self.address = address
        self.over = asyncio.Event()
        self.error: DialError | None = None


class LinkPool:
    """The links of one identity in one network. Use it on one loop."""

    def __init__(
        self,
        identity: Identity,
        network: str,
        agent: str,
        *,
        on_message: Callable[[Link, Message], None],
        on_closed: Callable[[Link, Code, str], None],
        is_busy: Callable[[Link], bool] = lambda _: False,
    ) -> None:
        """Make an empty pool.

        Args:
            identity: who we are to every peer.
            network: peers of other networks cannot shake hands with us.
            agent: what we call this program.
            on_message: called for every message of every link, in order per link and session.
            on_closed: called once for every link that was established.
            is_busy: whether a link without recent messages is still needed, as for an open session.
        """
        self._identity = identity
        self._network = network
        self._agent = agent
        self._on_message = on_message
        self._on_closed = on_closed
        self._is_busy = is_busy
        self.on_brief: Callable[[Link, Message], None] = _ignore
        """Called for the one message of a link that was opened for it, and counts as no link."""
        self.on_linked: Callable[[Link], None] = _ignore
        """Called for every link that can be used from now on."""
        self.on_ended: Callable[[Code, bool], None] = _ignore
        """Called for every connection that is over, with whether it had become a link."""
        self._carrier: Carrier | None = None
        self._pace: Pace | None = None
        self._static_seed = secrets.token_bytes(32)
        self._registry: Registry[Link] = Registry(
            (identity.peer_id, KeyPair.from_seed(self._static_seed).public)
        )
        self._sockets: set[Link] = set()
        self._ended_bytes = Moved()
        self._greeting: set[Link] = set()
        self._doorkeeper = Doorkeeper()
        self._servers: list[asyncio.Server] = []
        self._dials: dict[PeerId | Address | Relayed, _Dial] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._callbacks = LinkCallbacks(
            on_connected=self._connected,
            on_established=self._established,
            on_message=self._received,
            on_closed=self._closed,
            on_disconnected=self._disconnected,
        )

    @property
    def links(self) -> Mapping[PeerId, Link]:
        """The link to use for each peer; a live view."""
        return self._registry

    @property
    def moved(self) -> Moved:
        """All bytes of links until now; what a relay carries is counted once, on the link to the relay."""
        return sum((_moved(one) for one in self._sockets), self._ended_bytes)

    async def listen(self, address: Address) -> Address:
        """Accept links at `address`; return where, with the port filled in. Raises `ListenError`, `PoolClosed`."""
        self._check_open()
        server = await listen(address, self._accept)
        self._servers.append(server)
        return bound_address(server)

    def carry_by(self, carrier: Carrier) -> None:
        """Say who carries links to peers that cannot be dialled."""
        self._carrier = carrier

    def pace_by(self, pace: Pace) -> None:
        """Say who limits the bytes of all links, from the next link on; before the first, to limit them all."""
        self._pace = pace

    async def link_to(self, peer_id: PeerId | None, address: Address | Relayed) -> Link:
        """Return an established link to a peer, the one that exists or a new one.

        Args:
            peer_id: who must answer; None takes whoever does, and is not for a relayed address.
            address: where to dial if there is no link yet.

        Raises:
            DialError: the peer cannot be reached there.
            TooManyLinks: this process holds `MAX_LINKS` already.
            PoolClosed: `close` was called.
        """
        key = peer_id or address
        while True:
            self._check_open()
            link = self._existing(peer_id, address)
            if link is not None:
                return link
            other = self._dials.get(key)
            if other is None:
                return await self._dial(key, peer_id, address)
            await other.over.wait()
            if other.error is not None and other.address == address:
                raise other.error

    async def upgrade(self, peer_id: PeerId, address: Address) -> bool:
        """Dial a peer directly though a relay carries a link to it; the direct one is used from then on.

        Returns: whether the peer now has a direct link. Raises `TooManyLinks`, `PoolClosed`.
        """
        self._check_open()
        present = self._existing(peer_id, address)
        if present is None or present.via is not None:
            try:
                await self._dial(address, peer_id, address)
            except DialError:
                return False
            present = self._existing(peer_id, address)
        return present is not None and present.via is None

    async def tell(self, peer_id: PeerId, address: Address, message: Message) -> None:
        """Open a link to exactly this peer and address for one message; return once the peer has taken it.

        Raises:
            DialError: the peer cannot be reached there, or does not take it.
            TooManyLinks, PoolClosed: as `link_to`.
        """
        self._check_open()
        self._check_room()
        link = self._outbound(peer_id, address, brief=True)
        await dial(link, address, peer_id)
        try:
            link.send(message)
            async with asyncio.timeout(limits.BRIEF_LINK_S):
                await link.closed.wait()
        except TimeoutError as error:
            raise DialTimedOut(
                address, peer_id, f"{address} does not take a proof", "ask another peer"
            ) from error
        except LinkClosed as error:
            raise explain(address, peer_id, error) from error
        finally:
            link.abort()

    def accept_carried(self, via: PeerId, address: Address) -> Link:
        """Return a fresh inbound link for a stream that a relay carries, to be given a transport by the caller."""
        return Link(
            self._connection(initiator=False, expected_peer=None),
            self._callbacks,
            inbound=True,
            remote=address,
            via=via,
        )

    async def close(self, code: Code = Code.SHUTTING_DOWN, detail: str = "") -> None:
        """Stop accepting, say goodbye on every link, and wait until all sockets are gone."""
        self._closing = True
        for server in self._servers:
            server.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for link in list(self._sockets):
            link.hang_up(code, detail)
        for link in list(self._sockets):
            await link.closed.wait()
        for server in self._servers:
            await server.wait_closed()

    def _check_open(self) -> None:
        if self._closing:
            raise PoolClosed("this process is closing its links", "start it again to open new ones")

    def _check_room(self) -> None:
        if len(self._sockets) >= limits.MAX_LINKS:
            raise TooManyLinks(
                f"this process holds {limits.MAX_LINKS} links already", "close some or start another process"
            )

    def _existing(self, peer_id: PeerId | None, address: Address | Relayed) -> Link | None:
        if peer_id is not None:
            link = self._registry.reusable(peer_id)
        else:
            link = self._registry.dialled(address) if isinstance(address, Address) else None
        return link if link is not None and link.state is State.ESTABLISHED else None

    def _connection(
        self, *, initiator: bool, expected_peer: PeerId | None, brief: bool = False
    ) -> Connection:
        config = ConnectionConfig(
            initiator=initiator,
            identity=self._identity,
            network=self._network,
            static_seed=self._static_seed,
            ephemeral_seed=secrets.token_bytes(32),
            expected_peer=expected_peer,
            agent=self._agent,
            features=(BRIEF,) if brief else (LISTENS,) if self._servers else (),
        )
        return Connection(config, now=time.monotonic())

    def _accept(self) -> Link:
        connection = self._connection(initiator=False, expected_peer=None)
        return Link(connection, self._callbacks, inbound=True, pace=self._pace)

    def _outbound(self, peer_id: PeerId | None, address: Address | Relayed, *, brief: bool = False) -> Link:
        connection = self._connection(initiator=True, expected_peer=peer_id, brief=brief)
        callbacks = self._callbacks
        if brief:
            callbacks = replace(callbacks, on_established=_ignore, on_message=_ignore, on_closed=_ignore)
        remote = address if isinstance(address, Address) else address.address
        via = None if isinstance(address, Address) else address.relay
        return Link(connection, callbacks, inbound=False, remote=remote, via=via, pace=self._pace)

    def _connect(self, peer_id: PeerId | None, where: Address | Relayed) -> Connect | None:
        """How to connect to a relayed address; None for one that is dialled."""
        if isinstance(where, Address):
            return None
        carrier = self._carrier
        if carrier is None or peer_id is None or peer_id == where.relay:
            raise DialUnreachable(
                where.address, peer_id, f"{where} is no way to this peer", "dial it directly"
            )
        return lambda link: carrier.connect(link, peer_id, where)

    async def _dial(
        self, key: PeerId | Address | Relayed, peer_id: PeerId | None, address: Address | Relayed
    ) -> Link:
        self._check_room()
        connect = self._connect(peer_id, address)
        under_way = self._dials[key] = _Dial(address)
        link = self._outbound(peer_id, address)
        try:
            await dial(link, link.remote, peer_id, connect)
        except DialError as error:
            self._check_open()
            # The peer may have reached us while we could not reach it.
            existing = self._existing(peer_id, address)
            if existing is not None:
                return existing
            under_way.error = error
            raise
        finally:
            if self._dials.get(key) is under_way:
                del self._dials[key]
            under_way.over.set()
        if link.state is State.ESTABLISHED:
            return link
        # It may have been closed in favour of one that the peer opened at the same time.
        existing = self._existing(link.peer_id, address)
        if existing is None:
            raise explain(link.remote, peer_id, link.closed_error())
        return existing

    def _connected(self, link: Link) -> bool:
        if self._closing or (link.inbound and not self._doorkeeper.admit(link.remote.ip)):
            return False
        self._sockets.add(link)
        if link.inbound:
            self._greeting.add(link)
        return True

    def _received(self, link: Link, message: Message) -> None:
        if BRIEF in link.peer.features:
            self.on_brief(link, message)
            link.hang_up(Code.IDLE)
        else:
            self._on_message(link, message)

    def _established(self, link: Link) -> None:
        self._greeted(link)
        if BRIEF in link.peer.features:
            asyncio.get_running_loop().call_later(limits.BRIEF_LINK_S, link.hang_up, Code.IDLE)
            return
        if len(self._registry.all()) >= limits.MAX_LINKS:
            link.hang_up(Code.TOO_MANY_LINKS, f"this peer holds {limits.MAX_LINKS} links already")
        elif not self._registry.add(link):
            link.hang_up(Code.DUPLICATE_LINK)
        else:
            if self._sweep_timer is None:
                self._set_sweep_timer()
            self.on_linked(link)

    def _greeted(self, link: Link) -> None:
        if link in self._greeting:
            self._greeting.remove(link)
            self._doorkeeper.greeted()

    def _closed(self, link: Link, code: Code, detail: str) -> None:
        self._greeted(link)
        self.on_ended(code, link.established)
        if link.established and self._registry.remove(link):
            self._on_closed(link, code, detail)

    def _disconnected(self, link: Link) -> None:
        if link in self._sockets:
            self._sockets.remove(link)
            self._ended_bytes += _moved(link)
            if link.inbound:
                self._doorkeeper.leave(link.remote.ip)

    def _set_sweep_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(limits.DUPLICATE_GRACE_S, self._sweep)

    def _sweep(self) -> None:
        """Close links that nobody uses."""
        now = time.monotonic()
        for link in self._registry.all():
            bound_s = limits.DUPLICATE_GRACE_S if link.retired else limits.IDLE_LINK_TIMEOUT_S
            if now >= link.last_used + bound_s and not self._is_busy(link):
                link.hang_up(Code.DUPLICATE_LINK if link.retired else Code.IDLE)
        self._set_sweep_timer()
