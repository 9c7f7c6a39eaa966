"""Keeping a few links to other peers, so that a host hears of the swarm and the swarm of it before anybody asks."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from node.errors import NodeError
from node.introductions import GREET_S
from node.roads import Roads, Somebody
from node.transport.link import Link
from node.transport.pool import LinkPool

log = logging.getLogger(__name__)

ENOUGH: Final = 8
"""Links to peers that are kept; a host that has as many looks for no more."""
LOOK_S: Final = 2.0
"""How soon is noticed what nobody tells of."""
_LEAST_S: Final = 0.05
"""Between two looks, however many contacts are due."""


class Meeting:
    """The standing links of one process."""

    def __init__(self, roads: Roads, pool: LinkPool) -> None:
        self._roads = roads
        self._pool = pool
        self._kept: set[Link] = set()
        self._alone: str | None = None

    def is_busy(self, link: Link) -> bool:
        """Whether a link is one of those that are kept."""
        return link in self._kept

    def on_closed(self, link: Link) -> None:
        """A link is over."""
        if link in self._kept:
            self._kept.discard(link)
            self._roads.news.set()

    async def run(self) -> None:
        """Meet peers until cancelled."""
        greet_at = 0.0
        while True:
            self._roads.news.clear()
            lacking = ENOUGH - len(self._kept)
            if lacking > 0:
                await asyncio.gather(*(self._meet(one) for one in self._roads.due(lacking)))
            self._tell()
            now = asyncio.get_running_loop().time()
            if now >= greet_at:
                greet_at = now + GREET_S
                for link in self._kept:
                    self._roads.greet(link)
            due_s = self._roads.next_due_s() if lacking > 0 else None
            try:
                async with asyncio.timeout(LOOK_S if due_s is None else min(max(due_s, _LEAST_S), LOOK_S)):
                    await self._roads.news.wait()
            except TimeoutError:
                continue

    async def _meet(self, one: Somebody) -> None:
        try:
            link = await self._roads.reach(one)
        except NodeError as error:
            log.debug("%s", error)
        else:
            if len(self._kept) < ENOUGH:
                self._kept.add(link)

    def _tell(self) -> None:
        """Say once why nobody can be reached, and once that somebody can again."""
        # A host that knows nobody may be the first of its swarm.
        alone = self._roads.why_alone() if self._roads.known() and not self._pool.links else None
        if alone is not None and alone != self._alone:
            log.warning("%s", alone)
        elif alone is None and self._alone is not None and self._pool.links:
            log.warning("peers can be reached again")
        if alone is not None or self._pool.links:
            self._alone = alone
