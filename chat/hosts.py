"""The hosts a client knows, those it was told of and those that are found: links to them, and what they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from chat.errors import HostUnreachable
from crypto.identity import PeerId
from node.asking import Asking, Said
from node.errors import NodeError
from node.finding import Finder
from node.model_library import Neighbour
from node.neighbours import giving
from node.roads import Roads, Somebody
from node.transport.link import Link
from wire.codes import Code
from wire.messages.base import Message
from wire.types import Address, ModelId, Relayed

PATIENCE_S: Final = 0.25
"""How long, after the first host has answered, slower ones are waited for; a route over them would be slow too."""
FIRST_S: Final = 3.0
"""How long a client that knows nobody waits for a first contact, of the local network or of the DHT."""

_MOST_REASONS: Final = 4


@dataclass(frozen=True, slots=True)
class Reached:
    """A host that answered, and how other hosts may reach it."""

    said: Said
    announced: tuple[Address | Relayed, ...] = ()
    """How the host says it is reached; nothing of one that was not found but known otherwise."""

    @property
    def ways(self) -> tuple[Address | Relayed, ...]:
        """How others may reach it: as this process does, and as it says."""
        link = self.said.link
        own: tuple[Address | Relayed, ...] = ()
        if link.via is not None:
            own = (Relayed(link.via, link.remote),)
        elif not link.inbound:
            own = (link.remote,)
        return tuple(dict.fromkeys((*own, *self.announced)))


class Hosts:
    """What is known of hosts, kept for one client."""

    def __init__(self, asking: Asking, roads: Roads, finder: Finder) -> None:
        """`finder` searches for hosts, if it is open."""
        self._asking = asking
        self._roads = roads
        self._finder = finder
        self._under_way: dict[Somebody, asyncio.Task[Said]] = {}
        self._announced: dict[PeerId, tuple[Address | Relayed, ...]] = {}
        self._search: asyncio.Task[bool] | None = None

    def look_for(self, model: ModelId) -> None:
        """Begin to search for hosts of a model, beside whatever else is done."""
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(self.find(model))

    async def find(self, model: ModelId) -> bool:
        """Search for hosts of a model; whether there are any that were not known before."""
        found = await self._finder.hosts(model)
        self._announced.update({one.peer: one.ways for one in found})
        return self._roads.found(found) > 0

    async def may_find(self) -> bool:
        """Whether there is anybody to search by, or somebody who has not been asked."""
        return self._roads.news.is_set() or await self._finder.joined(0.0)

    async def reach(self) -> list[Reached]:
        """Link to hosts and hear what they serve; those that take long are not waited for, and heard the next time.

        Raises:
            HostUnreachable: nobody is known, or nobody answers.
        """
        self._roads.news.clear()
        self._under_way = {one: task for one, task in self._under_way.items() if not _over(task)}
        for one in self._roads.somebody():
            if one not in self._under_way:
                self._under_way[one] = asyncio.create_task(self._asking.ask(one))
        tasks = set(self._under_way.values())
        if not tasks:
            raise HostUnreachable(await self._nobody())
        said, failures = await _first_ones(tasks)
        if not said:
            raise HostUnreachable(await self._why(failures))
        # Two contacts may be of one host.
        hosts = {one.peer: one for one in said}
        return [Reached(one, self._announced.get(one.peer, ())) for one in hosts.values()]

    async def reach_somebody(self) -> None:
        """Wait until some host answers, so that a wrong address is told at once. Raises `HostUnreachable`."""
        failure: HostUnreachable | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while True:
                    try:
                        await self.reach()
                    except HostUnreachable as error:
                        failure = error
                        if self._roads.named:
                            break
                    else:
                        return
                    await self._roads.news.wait()
        if failure is not None and not await self._finder.joined(0.0):
            raise failure

    async def sharing(self, model: ModelId | None) -> list[Neighbour]:
        """The hosts that give weights, and where; those that can be found for a model, where it is known."""
        if model is not None:
            await self.find(model)
        try:
            return giving([one.said for one in await self.reach()])
        except HostUnreachable:
            return []

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [*self._under_way.values(), *([self._search] if self._search is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._under_way.clear()
        search, self._search = self._search, None
        if search is not None and not search.cancelled():
            # A search that failed did so by a defect, which is not to be lost.
            search.result()

    def on_message(self, link: Link, message: Message) -> bool:
        """Take a message of a host; whether it was about what it serves or about peers."""
        return self._asking.on_message(link, message) or self._roads.on_message(link, message)

    def on_closed(self, link: Link, code: Code, detail: str) -> None:
        """A host whose link ends answers nothing any more."""
        self._asking.on_closed(link, code, detail)
        self._roads.on_closed(link)

    async def _nobody(self) -> str:
        if await self._finder.joined(0.0):
            return (
                "no host of this model is announced; ask whoever serves it, or name one with --peer IP:PORT"
            )
        return self._roads.why_alone() or "no host answers; name one with --peer IP:PORT"

    async def _why(self, failures: Sequence[NodeError]) -> str:
        if not failures:
            return await self._nobody()
        rest = f"; and {len(failures) - _MOST_REASONS} more" if len(failures) > _MOST_REASONS else ""
        return f"no host could be reached: {'; '.join(map(str, failures[:_MOST_REASONS]))}{rest}"


def _over(task: asyncio.Task[Said]) -> bool:
    """Whether a task is done; what it came to is too old by now, and a failure is in the book."""
    if task.done() and not task.cancelled():
        task.exception()
    return task.done()


async def _first_ones(tasks: set[asyncio.Task[Said]]) -> tuple[list[Said], list[NodeError]]:
    """What the tasks come to that are done soon after the first one that succeeds."""
    said: list[Said] = []
    failures: list[NodeError] = []
    loop = asyncio.get_running_loop()
    until: float | None = None
    while tasks:
        left_s = None if until is None else max(until - loop.time(), 0.0)
        done, tasks = await asyncio.wait(tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for task in done:
            try:
                said.append(task.result())
            except NodeError as error:
                failures.append(error)
        if said and until is None:
            until = loop.time() + PATIENCE_S
    return said, failures
