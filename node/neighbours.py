"""The peers a host knows of: what they serve and where they give chunks, asked over links whenever it is wanted."""

from __future__ import annotations

import asyncio
import logging

from crypto.identity import PeerId
from node.asking import Asking, Said
from node.errors import NodeError
from node.finding import Finder
from node.model_library import Neighbour
from node.roads import Roads, Somebody
from wire.types import Address, ModelId

log = logging.getLogger(__name__)


class Neighbours:
    """The other peers of one process's swarm."""

    def __init__(self, asking: Asking, roads: Roads, *, me: PeerId, finder: Finder | None = None) -> None:
        """
        Args:
            me: this process, which is no neighbour of its own.
            finder: searches for others; None where only those who are known are to be asked.
        """
        self._asking = asking
        self._roads = roads
        self._me = me
        self._finder = finder

    async def look_for(self, model: ModelId) -> None:
        """Search for hosts of a model, to be asked from now on too."""
        if self._finder is not None:
            self._roads.found([one for one in await self._finder.hosts(model) if one.peer != self._me])

    async def ask(self) -> list[Said]:
        """Ask everybody who is known what they serve; those that do not answer are left out, and why is logged."""
        answers = await asyncio.gather(*(self._ask(one) for one in self._roads.somebody()))
        # Two contacts may be of one peer.
        return list({one.peer: one for one in answers if one is not None and one.peer != self._me}.values())

    async def sharing(self, model: ModelId | None) -> list[Neighbour]:
        """The peers that give chunks, and where; those that can be found for a model, where it is known."""
        if model is not None:
            await self.look_for(model)
        return giving(await self.ask())

    async def _ask(self, one: Somebody) -> Said | None:
        try:
            return await self._asking.ask(one)
        except NodeError as error:
            log.info("%s", error)
            return None


def giving(said: list[Said]) -> list[Neighbour]:
    """Where chunks are given. A peer behind a relay gives none: its chunks are not carried."""
    return [
        Neighbour(one.peer, Address(one.link.remote.ip, one.hosting.shares))
        for one in said
        if one.hosting.shares and one.link.via is None
    ]
