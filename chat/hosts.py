"""The hosts a client knows, those it was told of and those the DHT tells of: links to them, and what they serve."""

from __future__ import annotations

import asyncio
from typing import Final

from chat.driver import Contact
from chat.errors import HostUnreachable
from crypto.identity import PeerId
from node.errors import NodeError
from node.finding import Finder
from node.model_library import Neighbour
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting
from wire.types import Address, ModelId

_DESCRIBE_TIMEOUT_S: Final = 5.0

Reached = list[tuple[Link, Hosting]]


class Hosts:
    """What is known of hosts, kept for one client."""

    def __init__(self, contacts: tuple[Contact, ...], pool: LinkPool, finder: Finder) -> None:
        """
        Args:
            contacts: hosts that the person named.
            finder: searches for others, if it is open.
        """
        self._contacts = {one.address: one for one in contacts}
        self._named = tuple(contacts)
        self._pool = pool
        self._finder = finder
        self._waiting: dict[PeerId, asyncio.Future[Hosting]] = {}

    async def find(self, model: ModelId) -> bool:
        """Search for hosts of a model; whether there are any that were not known before."""
        known = len(self._contacts)
        for one in await self._finder.hosts(model):
            self._contacts.setdefault(one.address, Contact(one.address, one.peer))
        return len(self._contacts) > known

    async def may_find(self) -> bool:
        """Whether there is anybody to search by."""
        return await self._finder.joined(0.0)

    async def reach(self) -> Reached:
        """Link to every host and hear what it serves.

        Raises:
            HostUnreachable: none is known, or none answers.
        """
        if not self._contacts:
            raise HostUnreachable(await self._nobody())
        answers = await asyncio.gather(
            *(self._describe(contact) for contact in self._contacts.values()), return_exceptions=True
        )
        failures = [one for one in answers if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, NodeError | TimeoutError):
                raise failure
        if len(failures) == len(answers):
            reasons = "; ".join(str(one) or "it gave no answer in time" for one in failures)
            raise HostUnreachable(f"no host could be reached: {reasons}")
        # Two addresses may be of one host.
        return list({one[0].peer_id: one for one in answers if not isinstance(one, BaseException)}.values())

    async def reach_named(self) -> None:
        """Link to the hosts that were named, so that a wrong address is told at once. Raises `HostUnreachable`."""
        if self._named:
            await self.reach()
        elif not await self._finder.joined():
            raise HostUnreachable(await self._nobody())

    async def sharing(self, model: ModelId | None) -> list[Neighbour]:
        """The hosts that give weights, and where; those that can be found for a model, where it is known."""
        if model is not None:
            await self.find(model)
        try:
            reached = await self.reach()
        except HostUnreachable:
            return []
        return [
            Neighbour(link.peer_id, Address(link.remote.ip, hosting.shares))
            for link, hosting in reached
            if hosting.shares
        ]

    def on_message(self, link: Link, message: Message) -> bool:
        """Take an answer of a host; whether the message was one."""
        if not isinstance(message, Hosting):
            return False
        waiting = self._waiting.pop(link.peer_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        return True

    def on_closed(self, link: Link, code: Code, detail: str) -> None:
        """A host whose link ends answers nothing any more."""
        waiting = self._waiting.pop(link.peer_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                HostUnreachable(f"host {link.peer_id.short} ended the link: {detail or code.text}")
            )
            waiting.exception()

    async def _describe(self, contact: Contact) -> tuple[Link, Hosting]:
        link = await self._pool.link_to(contact.peer, contact.address)
        answer = self._waiting.setdefault(link.peer_id, asyncio.get_running_loop().create_future())
        link.send(Describe())
        async with asyncio.timeout(_DESCRIBE_TIMEOUT_S):
            return link, await asyncio.shield(answer)

    async def _nobody(self) -> str:
        if await self._finder.joined(0.0):
            return (
                "no host of this model is announced; ask whoever serves it, or name one with --peer IP:PORT"
            )
        return "no host is known; give one with --peer IP:PORT"
