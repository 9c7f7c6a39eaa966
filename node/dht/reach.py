"""Whether others can reach this node: another one knocks at the address it is seen at, from where nothing was sent to.

A router lets answers in, so an answer proves nothing. A knock comes from a stranger: of another IP address when this
node is seen at an address that is not its own, since some routers let in all that comes from a machine once written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from node.dht.exchange import Reply
from node.dht.node import DhtNode
from node.dht.places import Scope, is_v6, limited_network, may_tell, scope_of
from node.dht.protocol import Knocked
from node.dht.routing import Families
from wire import limits
from wire.dht_messages import Help, Ping, Pong, Probe, Reach
from wire.endpoints import NodeContact
from wire.types import Address

HELPERS: Final = 4
"""Nodes that are asked to have somebody knock, before this node counts as not reachable."""
MAX_HELPED: Final = 8
"""Security limit: nodes that this one is helping at once."""
_SHUFFLED: Final = 64


class Reachability:
    """Proves this node's addresses, and helps others to prove theirs."""

    def __init__(
        self,
        node: DhtNode,
        *,
        is_own: Callable[[str], bool],
        knock_aside: Callable[[Address, bytes], bool],
    ) -> None:
        """`is_own` says whether an IP is one of this machine's; `knock_aside` sends from a port of its own."""
        self._node = node
        self._is_own = is_own
        self._knock_aside = knock_aside
        self._waiting: dict[bytes, tuple[Address, asyncio.Event]] = {}
        self._helping: set[asyncio.Task[None]] = set()
        node.protocol.on_knock = self._knocked
        node.protocol.on_reach = self._help

    async def prove(self, *, v6: bool) -> Address | None:
        """Return the address at which strangers reach this node by one IP family; none when nobody does."""
        for helper in self._helpers(v6=v6)[:HELPERS]:
            proven = await self._prove_by(helper)
            if proven is not None:
                return proven
        return None

    async def close(self) -> None:
        """Stop helping."""
        for task in list(self._helping):
            task.cancel()
        await asyncio.gather(*self._helping, return_exceptions=True)

    async def _prove_by(self, helper: Address) -> Address | None:
        protocol = self._node.protocol
        hello = Ping(sender=protocol.node, serves=protocol.serves)
        reply = await self._node.ask(hello, helper)
        if not isinstance(reply, Reply) or not isinstance(reply.answer, Pong):
            return None
        nonce = protocol.random(limits.TRANSACTION_BYTES)
        heard = asyncio.Event()
        self._waiting[nonce] = (reply.answer.observed, heard)
        try:
            async with asyncio.timeout(limits.KNOCK_TIMEOUT_S):
                reach = Reach(
                    sender=protocol.node, serves=protocol.serves, token=reply.answer.token, nonce=nonce
                )
                await self._node.ask(reach, helper, reply.node)
                await heard.wait()
        except TimeoutError:
            return None
        finally:
            del self._waiting[nonce]
        return reply.answer.observed

    def _knocked(self, knock: Knocked) -> None:
        observed, heard = self._waiting.get(knock.nonce, (None, None))
        if observed is None or heard is None:
            return
        unrouted = scope_of(observed.ip) is not Scope.WORLD or self._is_own(observed.ip)
        if knock.stranger or unrouted:
            heard.set()

    def _help(self, reach: Reach, source: Address) -> Help:
        """Knock from another port, and have another node knock."""
        if len(self._helping) >= MAX_HELPED:
            return Help.NOBODY
        aside = self._knock_aside(source, reach.nonce)
        another = self._another(source)
        if another is None:
            return Help.ITSELF if aside else Help.NOBODY
        task = asyncio.get_running_loop().create_task(self._have_knocked(another, source, reach.nonce))
        self._helping.add(task)
        task.add_done_callback(self._helping.discard)
        return Help.ANOTHER

    async def _have_knocked(self, another: NodeContact, target: Address, nonce: bytes) -> None:
        protocol = self._node.protocol
        reply = await self._node.ask(
            Ping(sender=protocol.node, serves=protocol.serves), another.address, another.node
        )
        if isinstance(reply, Reply) and isinstance(reply.answer, Pong):
            probe = Probe(
                sender=protocol.node,
                serves=protocol.serves,
                token=reply.answer.token,
                target=target,
                nonce=nonce,
            )
            await self._node.ask(probe, another.address, another.node)

    def _another(self, target: Address) -> NodeContact | None:
        """A node of another network than the one that is to be knocked at."""
        for one in self._shuffled(v6=is_v6(target.ip)):
            apart = limited_network(one.address.ip) != limited_network(target.ip)
            elsewhere = apart or (scope_of(target.ip) is not Scope.WORLD and one.address != target)
            if elsewhere and may_tell(one.address.ip, target.ip):
                return one
        return None

    def _helpers(self, *, v6: bool) -> list[Address]:
        """Whom to ask: nodes known by this family, then the contacts that others told of."""
        known = [one.address for one in self._shuffled(v6=v6)]
        told = [one for one in self._node.bootstrap if is_v6(one.ip) == v6]
        return list(dict.fromkeys((*known, *told)))

    def _shuffled(self, *, v6: bool) -> list[NodeContact]:
        """Some of the known nodes of one IP family, in random order."""
        families = Families(v4=not v6, v6=v6)
        known: Sequence[NodeContact] = [
            one.contact for one in self._node.protocol.routing if families.allow(one.ip)
        ]
        random = self._node.protocol.random
        return [one for _, one in sorted(((random(4), one) for one in known), key=lambda pair: pair[0])][
            :_SHUFFLED
        ]
