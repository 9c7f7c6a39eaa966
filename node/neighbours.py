"""The peers a host was told of: what they serve and where they give chunks, asked over links whenever it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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

log = logging.getLogger(__name__)

MOST_CONTACTS: Final = 128
"""Security limit: peers that are asked; what the DHT tells of beyond them is not."""
ANSWER_S: Final = 5.0
"""How long a peer may take to say what it serves."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one peer said."""

    peer: PeerId
    address: Address
    hosting: Hosting


class Neighbours:
    """The contacts of one process."""

    def __init__(self, contacts: Sequence[Address], *, me: PeerId, finder: Finder | None = None) -> None:
        """
        Args:
            contacts: peers that the person named.
            me: this process, which is no neighbour of its own.
            finder: searches for others; None where only those named are to be asked.
        """
        self._contacts = dict.fromkeys(contacts)
        self._me = me
        self._finder = finder
        self._pool: LinkPool | None = None
        self._waiting: dict[PeerId, asyncio.Future[Hosting]] = {}

    def connect(self, pool: LinkPool) -> None:
        """Say over which links to ask; once, before the first question."""
        self._pool = pool

    def on_message(self, link: Link, message: Message) -> None:
        """Take an answer; anything else is not for this."""
        if isinstance(message, Hosting):
            waiting = self._waiting.pop(link.peer_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def on_closed(self, link: Link, _code: Code, _detail: str) -> None:
        """A peer that is gone answers nothing."""
        waiting = self._waiting.pop(link.peer_id, None)
        if waiting is not None and not waiting.done():
            waiting.cancel()

    async def look_for(self, model: ModelId) -> None:
        """Search for hosts of a model, to be asked from now on too."""
        if self._finder is not None:
            for one in await self._finder.hosts(model):
                if one.peer != self._me and len(self._contacts) < MOST_CONTACTS:
                    self._contacts.setdefault(one.address)

    async def ask(self) -> list[Heard]:
        """Ask every contact what it serves; those that do not answer are left out, and why is logged."""
        answers = await asyncio.gather(*(self._ask(one) for one in self._contacts))
        return [one for one in answers if one is not None]

    async def sharing(self, model: ModelId | None) -> list[Neighbour]:
        """The peers that give chunks, and where; those that can be found for a model, where it is known."""
        if model is not None:
            await self.look_for(model)
        return [
            Neighbour(one.peer, Address(one.address.ip, one.hosting.shares))
            for one in await self.ask()
            if one.hosting.shares
        ]

    async def _ask(self, contact: Address) -> Heard | None:
        if self._pool is None:
            raise RuntimeError("the neighbours have no links yet")
        try:
            link = await self._pool.link_to(None, contact)
            answer = self._waiting.setdefault(link.peer_id, asyncio.get_running_loop().create_future())
            link.send(Describe())
            async with asyncio.timeout(ANSWER_S):
                return Heard(link.peer_id, link.remote, await asyncio.shield(answer))
        except NodeError as error:
            log.warning("peer %s cannot be asked: %s", contact, error)
        except TimeoutError:
            log.warning("peer %s did not answer in %g s", contact, ANSWER_S)
        except asyncio.CancelledError:
            # The answer's, when the link was closed; our own must go on.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            log.warning("peer %s closed the link", contact)
        return None
