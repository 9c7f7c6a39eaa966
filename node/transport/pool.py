"""All links of a process: one per pair of peers, dialled or accepted, counted, reused, closed when idle.

A dial is made by the first caller that needs it and awaited by the others; there are no background tasks, only links
(driven by their sockets) and one timer that looks for idle ones.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping

from crypto.identity import Identity, PeerId
from crypto.keys import KeyPair
from node.transport.dial import dial, explain
from node.transport.errors import DialError, PoolClosed, TooManyLinks
from node.transport.link import Link, LinkCallbacks
from node.transport.listen import Doorkeeper, bound_address, listen
from node.transport.registry import Registry
from wire import limits
from wire.codes import Code
from wire.connection import Connection, ConnectionConfig
from wire.connection_table import State
from wire.handshake import LISTENS
from wire.messages.base import Message
from wire.types import Address


class _Dial:
    """A dial that is under way, for those who wait for it."""

    def __init__(self, address: Address) -> None:
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
        self._static_seed = secrets.token_bytes(32)
        self._registry: Registry[Link] = Registry(
            (identity.peer_id, KeyPair.from_seed(self._static_seed).public)
        )
        self._sockets: set[Link] = set()
        self._greeting: set[Link] = set()
        self._doorkeeper = Doorkeeper()
        self._servers: list[asyncio.Server] = []
        self._dials: dict[PeerId | Address, _Dial] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._callbacks = LinkCallbacks(
            on_connected=self._connected,
            on_established=self._established,
            on_message=self._on_message,
            on_closed=self._closed,
            on_disconnected=self._disconnected,
        )

    @property
    def links(self) -> Mapping[PeerId, Link]:
        """The link to use for each peer; a live view."""
        return self._registry

    async def listen(self, address: Address) -> Address:
        """Accept links at `address`; return where, with the port filled in. Raises `ListenError`, `PoolClosed`."""
        self._check_open()
        server = await listen(address, self._accept)
        self._servers.append(server)
        return bound_address(server)

    async def link_to(self, peer_id: PeerId | None, address: Address) -> Link:
        """Return an established link to a peer, the one that exists or a new one.

        Args:
            peer_id: who must answer; None takes whoever does.
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

    def _existing(self, peer_id: PeerId | None, address: Address) -> Link | None:
        link = self._registry.dialled(address) if peer_id is None else self._registry.reusable(peer_id)
        return link if link is not None and link.state is State.ESTABLISHED else None

    def _connection(self, *, initiator: bool, expected_peer: PeerId | None) -> Connection:
        config = ConnectionConfig(
            initiator=initiator,
            identity=self._identity,
            network=self._network,
            static_seed=self._static_seed,
            ephemeral_seed=secrets.token_bytes(32),
            expected_peer=expected_peer,
            agent=self._agent,
            features=(LISTENS,) if self._servers else (),
        )
        return Connection(config, now=time.monotonic())

    def _accept(self) -> Link:
        return Link(self._connection(initiator=False, expected_peer=None), self._callbacks, inbound=True)

    async def _dial(self, key: PeerId | Address, peer_id: PeerId | None, address: Address) -> Link:
        if len(self._sockets) >= limits.MAX_LINKS:
            raise TooManyLinks(
                f"this process holds {limits.MAX_LINKS} links already", "close some or start another process"
            )
        under_way = self._dials[key] = _Dial(address)
        link = Link(
            self._connection(initiator=True, expected_peer=peer_id),
            self._callbacks,
            inbound=False,
            remote=address,
        )
        try:
            await dial(link, address, peer_id)
        except DialError as error:
            self._check_open()
            # The peer may have reached us while we could not reach it.
            existing = self._existing(peer_id, address)
            if existing is not None:
                return existing
            under_way.error = error
            raise
        finally:
            del self._dials[key]
            under_way.over.set()
        if link.state is State.ESTABLISHED:
            return link
        # It may have been closed in favour of one that the peer opened at the same time.
        existing = self._existing(link.peer_id, address)
        if existing is None:
            raise explain(address, peer_id, link.closed_error())
        return existing

    def _connected(self, link: Link) -> bool:
        if self._closing or (link.inbound and not self._doorkeeper.admit(link.remote.ip)):
            return False
        self._sockets.add(link)
        if link.inbound:
            self._greeting.add(link)
        return True

    def _established(self, link: Link) -> None:
        self._greeted(link)
        if len(self._registry.all()) >= limits.MAX_LINKS:
            link.hang_up(Code.TOO_MANY_LINKS, f"this peer holds {limits.MAX_LINKS} links already")
        elif not self._registry.add(link):
            link.hang_up(Code.DUPLICATE_LINK)
        elif self._sweep_timer is None:
            self._set_sweep_timer()

    def _greeted(self, link: Link) -> None:
        if link in self._greeting:
            self._greeting.remove(link)
            self._doorkeeper.greeted()

    def _closed(self, link: Link, code: Code, detail: str) -> None:
        self._greeted(link)
        if link.established and self._registry.remove(link):
            self._on_closed(link, code, detail)

    def _disconnected(self, link: Link) -> None:
        if link in self._sockets:
            self._sockets.remove(link)
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
