"""Addresses are proven by peers, announced, and proven anew elsewhere; without any, relays carry for a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from crypto.identity import Identity
from node import reaching as module
from node.finding import Finder
from node.reach.dial_back import Verdict
from node.reaching import Reaching, ReachTerms
from node.roads import Roads, RoadTerms, Somebody
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.asked_hosts import Searching
from tests.fakes.deadline import until
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.reach import Transport
from wire.relay import Terms
from wire.types import Address, Relayed

LOCAL = Address("127.0.0.1", 0)


class Announcing(Searching):
    """A finder that keeps what is announced."""

    def __init__(self) -> None:
        super().__init__()
        self.announced: list[tuple[tuple[Address, ...], tuple[Relayed, ...]]] = []

    def observe(self, told: object) -> None:
        """Nobody sees this process."""

    def take_aside(self, take: object) -> None:
        """No datagrams come here."""

    def receives_at(self, addresses: object) -> None:
        """Datagrams are not sent here."""

    def reached_at(self, addresses: object, relays: object) -> None:
        assert isinstance(addresses, tuple) and isinstance(relays, tuple)
        self.announced.append((addresses, relays))


class Machine:
    """One host, as far as it is reached."""

    def __init__(self, number: int, *, relay: bool = False) -> None:
        self.identity = Identity.from_seed(bytes([number]) * 32)
        self.peer_id = self.identity.peer_id
        self.finder = Announcing()
        self.address = LOCAL
        self.pool = LinkPool(
            self.identity,
            "main",
            "machine",
            on_message=self._on_message,
            on_closed=self._on_closed,
            is_busy=self._is_busy,
        )
        self.roads = Roads(RoadTerms(network="main"), own=self.peer_id, finder=self.finder)
        self.roads.connect(self.pool)
        terms = ReachTerms(relay=Terms() if relay else None)
        finder: Finder = self.finder
        self.reaching = Reaching(self.identity, terms, pool=self.pool, finder=finder, roads=self.roads)

    async def link_with(self, other: Machine) -> Link:
        return await self.pool.link_to(other.peer_id, other.address)

    def _on_message(self, link: Link, message: Message) -> None:
        self.reaching.on_message(link, message)

    def _on_closed(self, link: Link, _code: Code, _detail: str) -> None:
        self.reaching.on_closed(link)

    def _is_busy(self, link: Link) -> bool:
        return self.reaching.is_busy(link)


@asynccontextmanager
async def machine(number: int, *, relay: bool = False, listens: bool = True) -> AsyncIterator[Machine]:
    made = Machine(number, relay=relay)
    made.address = await made.pool.listen(LOCAL)
    # One that others cannot dial is played by one that tells a port where nobody listens.
    made.reaching.listens([made.address if listens else Address("127.0.0.1", 1024)])
    running = asyncio.create_task(made.reaching.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.pool.close()


async def test_an_address_is_announced_once_a_peer_has_come_back_to_it() -> None:
    async with machine(1) as one, machine(2) as other:
        assert one.reaching.sentence() == "no peer has tried yet to reach this host"
        await one.link_with(other)
        await until(lambda: one.reaching.addresses and other.reaching.addresses)
        assert one.finder.announced == [((one.address,), ())]
        assert other.finder.announced == [((other.address,), ())]
        assert one.reaching.sentence() == f"peers reach this host at {one.address}"


async def test_several_hosts_of_one_machine_are_all_proven_at_once() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(machine(1))
        others = [await stack.enter_async_context(machine(number)) for number in range(2, 6)]
        for one in others:
            await one.link_with(first)
        async with asyncio.timeout(4):
            while not all(one.reaching.addresses for one in others):  # noqa: ASYNC110 - five hosts have no one event
                await asyncio.sleep(0.01)


async def test_who_cannot_be_reached_is_carried_by_a_relay_that_is_known() -> None:
    async with machine(1, relay=True) as relay, machine(2, listens=False) as hidden, machine(3) as client:
        await hidden.link_with(relay)
        where = Relayed(relay.peer_id, relay.address)
        await until(lambda: hidden.reaching.relays == (where,))
        await until(lambda: hidden.finder.announced)
        assert hidden.finder.announced[-1] == ((), (where,))
        assert "by relays only" in hidden.reaching.sentence()
        link = await client.roads.reach(Somebody(peer=hidden.peer_id, contacts=(), relays=(where,)))
        assert link.via == relay.peer_id
        assert relay.reaching.circuits == 1
        assert relay.reaching.is_busy(relay.pool.links[hidden.peer_id])


async def test_without_a_relay_the_next_step_is_told() -> None:
    async with machine(1) as other, machine(2, listens=False) as hidden:
        await hidden.link_with(other)
        await until(lambda: "no peer reaches this host" in hidden.reaching.sentence())
        assert "forward TCP and UDP port 1024" in hidden.reaching.sentence()
        assert hidden.reaching.addresses == ()


async def test_on_another_network_everything_is_proven_anew() -> None:
    async with machine(1) as one, machine(2) as other:
        await one.link_with(other)
        await until(lambda: one.reaching.addresses)
        other.pool.links[one.peer_id].hang_up(Code.IDLE)
        await until(lambda: not one.pool.links)
        one.roads.moved.set()
        await until(lambda: one.reaching.addresses == ())
        await until(lambda: one.finder.announced[-1] == ((), ()))


async def test_of_several_proven_addresses_those_that_reach_farthest_are_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with machine(1) as one, machine(2) as other:
        await one.link_with(other)
        await until(lambda: one.reaching.addresses)
        far = Address("8.8.4.4", 7311)
        monkeypatch.setattr(module, "is_own", lambda _: True)
        one.reaching._standing._proven.take(
            Verdict(
                transport=Transport.TCP, address=far, proven=True, by=other.peer_id, network="8.8.0.0/16"
            ),
            asyncio.get_running_loop().time(),
        )
        assert one.reaching.addresses == (far,)


async def test_clients_are_not_asked_to_dial_back() -> None:
    heard: list[Message] = []
    identity = Identity.from_seed(b"c" * 32)
    client = LinkPool(
        identity, "main", "client", on_message=lambda _, one: heard.append(one), on_closed=lambda *_: None
    )
    async with machine(1) as host, machine(2) as other:
        await client.link_to(host.peer_id, host.address)
        await host.link_with(other)
        await until(lambda: host.reaching.addresses)
        assert heard == []
    await client.close()
