"""A peer that only asks hosts what they serve: how a test sees, from outside, what a host holds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from crypto.identity import Identity
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.attacker import PATIENCE_S
from tests.fakes.hosts import Host
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting, Offer

_AGAIN_S = 0.02


class Observer:
    """Holds no session anywhere."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[Hosting] = asyncio.Queue()
        self.pool = LinkPool(
            Identity.from_seed(secrets.token_bytes(32)),
            "main",
            "an observer",
            on_message=self._on_message,
            on_closed=lambda link, code, detail: None,
        )

    async def offer(self, host: Host) -> Offer:
        """What a host says of its one slice now."""
        link = await self.pool.link_to(host.peer_id, host.address)
        link.send(Describe())
        async with asyncio.timeout(PATIENCE_S):
            return (await self._answers.get()).offers[0]

    async def until(self, host: Host, condition: Callable[[Offer], bool]) -> None:
        """Wait until what a host says is so. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if condition(await self.offer(host)):
                    return
                await asyncio.sleep(_AGAIN_S)

    async def until_free(self, *hosts: Host) -> None:
        """Wait until these hosts hold no session."""
        for host in hosts:
            await self.until(host, lambda offer: offer.sessions == 0)

    def _on_message(self, link: Link, message: Message) -> None:
        if isinstance(message, Hosting):
            self._answers.put_nowait(message)


@asynccontextmanager
async def observing() -> AsyncIterator[Observer]:
    """An observer, whose links are closed at the end."""
    observer = Observer()
    try:
        yield observer
    finally:
        await observer.pool.close()
