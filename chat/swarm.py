"""What a client has of the swarm: its links and all roads to hosts, for answers and for `lamella peers`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

from chat.driver import ClientOptions
from chat.hosts import Hosts
from crypto.identity import Identity
from node import paths
from node.asking import Asking
from node.discovery.bootstrap import PINNED_KEY
from node.finding import Finder
from node.relay.client import RelayClient
from node.roads import Roads, RoadTerms
from node.transport.link import Link
from node.transport.pool import LinkPool
from node.transport.ways import Upgrader
from wire.codes import Code
from wire.messages.base import Message


def _unread(*_: object) -> None:
    """What is neither about hosts nor about relays, where nothing else is expected."""


class Swarm:
    """The swarm of one client. Nothing is sent before `open`."""

    def __init__(
        self,
        identity: Identity,
        options: ClientOptions,
        *,
        on_message: Callable[[Link, Message], None] = _unread,
        on_closed: Callable[[Link, Code, str], None] = _unread,
    ) -> None:
        """Must be made on a running event loop.

        Args:
            on_message: takes messages that are not about finding or reaching hosts.
            on_closed: told of every link that ends.
        """
        self._use_dht = options.dht
        self._on_message = on_message
        self._on_closed = on_closed
        agent = f"lamella/{version('lamella')}"
        self.pool = LinkPool(
            identity, options.network, agent, on_message=self._received, on_closed=self._closed
        )
        self._relays = RelayClient(
            identity.peer_id, link_to=self.pool.link_to, accept=self.pool.accept_carried
        )
        self.pool.carry_by(self._relays)
        cache = paths.cache_dir()
        self.finder = Finder(identity, options.network, cache=cache / "dht-client", serves=False)
        self._roads = Roads(
            RoadTerms(
                network=options.network,
                named=options.contacts,
                invited=options.invited,
                bootstrap=options.bootstrap,
                signer=options.signer or PINNED_KEY,
                lan=options.lan,
                memory=cache / "contacts-client",
            ),
            finder=self.finder,
        )
        self._roads.connect(self.pool)
        self.hosts = Hosts(Asking(self._roads), self._roads, self.finder)
        self._upgrader = Upgrader(self.pool, self._roads.addresses)
        self._running: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to look for hosts. Raises `NodeError` when something that was asked for cannot be used."""
        await self._roads.open()
        if self._use_dht:
            await self.finder.start()
        self._running = [asyncio.create_task(one.run()) for one in (self._roads, self._upgrader)]

    async def close(self) -> None:
        """End all links and forget nobody who answered. Safe to call twice."""
        await self.hosts.close()
        for task in self._running:
            task.cancel()
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        await self.pool.close(Code.SHUTTING_DOWN, "the client is done")
        await self._roads.save()
        await self.finder.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _received(self, link: Link, message: Message) -> None:
        self._relays.on_message(link, message)
        if not self.hosts.on_message(link, message):
            self._on_message(link, message)

    def _closed(self, link: Link, code: Code, detail: str) -> None:
        self._relays.on_closed(link)
        self.hosts.on_closed(link, code, detail)
        self._on_closed(link, code, detail)
