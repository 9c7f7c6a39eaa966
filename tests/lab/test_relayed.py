"""Links by a relay between machines that cannot reach each other, through every pair of routers."""

from __future__ import annotations

import asyncio
import time

import pytest

from node.relay.line import Line
from node.transport.errors import DialError
from tests.fakes.joined import step
from tests.fakes.relays import GENEROUS, Station
from tests.lab.namespaces import CONE, SYMMETRIC, Machine, lab, needs
from wire.messages.base import Message
from wire.messages.forward import Forward
from wire.relay import Terms
from wire.types import Address, Relayed

pytestmark = needs()
PORT = 7311


async def station(machine: Machine, name: str, terms: Terms | None = None) -> Station:
    async def make() -> Station:
        made = Station(name, terms)
        await made.listen(Address(machine.ip, PORT))
        return made

    return await machine.run(make)


@pytest.mark.parametrize(("one", "other"), [(CONE, SYMMETRIC), (SYMMETRIC, SYMMETRIC)])
async def test_two_machines_behind_routers_speak_by_a_relay(one: str, other: str) -> None:
    with lab() as built:
        public, left, right = built.public(), built.home(one), built.home(other)
        relay = await station(public, "relay", GENEROUS)
        host = await station(left.host, "host")
        client = await station(right.host, "client")
        relay_at = Address(public.ip, PORT)

        async def reserve() -> Relayed:
            return (await host.client.reserve(relay.peer_id, relay_at)).where

        async def directly() -> bool:
            try:
                await client.pool.link_to(host.peer_id, Address(left.router.ip, PORT))
            except DialError:
                return False
            return True

        where = await left.host.run(reserve)
        assert not await right.host.run(directly)

        async def ask() -> float:
            started = time.monotonic()
            link = await client.pool.link_to(host.peer_id, where)
            took = time.monotonic() - started
            assert link.via == relay.peer_id
            assert link.peer_id == host.peer_id
            for number in range(8):
                link.send(step(500_000, number=number))
            return took

        async def heard() -> list[Forward]:
            await host.notes.until(lambda: len(host.notes.steps) == 8)
            steps = [one for _, one in host.notes.messages if isinstance(one, Forward)]
            back = next(link for link, one in host.notes.messages if isinstance(one, Forward))
            back.send(step(500_000, number=99))
            return steps

        async def answered() -> None:
            await client.notes.until(lambda: client.notes.steps == [99])

        took = await right.host.run(ask)
        steps = await left.host.run(heard)
        await right.host.run(answered)
        assert [one.step for one in steps] == list(range(8))
        assert all(one.body == step(500_000).body for one in steps)
        assert relay.service.carried_bytes > 9 * 500_000
        assert took < 2
        for machine, made in ((right.host, client), (left.host, host), (public, relay)):
            await machine.run(made.close)


async def test_a_direct_way_that_opens_later_takes_the_place_of_the_relay() -> None:
    with lab() as built:
        public, left, right = built.public(), built.home(SYMMETRIC), built.home(SYMMETRIC)
        relay = await station(public, "relay", GENEROUS)
        host = await station(left.host, "host")
        client = await station(right.host, "client")
        relay_at = Address(public.ip, PORT)
        direct = Address(left.router.ip, PORT)

        async def reserve() -> Relayed:
            return (await host.client.reserve(relay.peer_id, relay_at)).where

        where = await left.host.run(reserve)

        async def by_relay() -> None:
            assert (await client.pool.link_to(host.peer_id, where)).via is not None

        async def try_directly() -> bool:
            return await client.pool.upgrade(host.peer_id, direct)

        async def present() -> bool:
            return (await client.pool.link_to(host.peer_id, where)).via is None

        await right.host.run(by_relay)
        assert not await right.host.run(try_directly)
        assert not await right.host.run(present)
        left.router.command(
            "nft", "add", "rule", "inet", "filter", "prerouting_miniupnpd",
            "iifname", "wan", "tcp", "dport", str(PORT), "dnat", "ip", "to", left.host.ip,
        )  # fmt: skip
        left.router.command(
            "nft", "add", "rule", "inet", "filter", "miniupnpd", "ct", "status", "dnat", "accept"
        )
        assert await right.host.run(try_directly)
        assert await right.host.run(present)
        for machine, made in ((right.host, client), (left.host, host), (public, relay)):
            await machine.run(made.close)


async def test_the_relay_sees_nothing_of_what_it_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes through is searched for words that both ends know."""
    with lab() as built:
        public, left, right = built.public(), built.home(SYMMETRIC), built.home(SYMMETRIC)
        relay = await station(public, "relay", GENEROUS)
        host = await station(left.host, "host")
        client = await station(right.host, "client")
        seen = bytearray()
        take = relay.service.on_message

        def listening(line: Line, message: Message) -> bool:
            seen.extend(bytes(getattr(message, "body", b"")))
            return take(line, message)

        monkeypatch.setattr(relay.service, "on_message", listening)

        async def reserve() -> Relayed:
            return (await host.client.reserve(relay.peer_id, Address(public.ip, PORT))).where

        where = await left.host.run(reserve)

        async def ask() -> None:
            link = await client.pool.link_to(host.peer_id, where)
            link.send(step(4_096, number=1))

        async def heard() -> None:
            await host.notes.until(lambda: host.notes.steps == [1])

        await right.host.run(ask)
        await left.host.run(heard)
        words = bytes(step(4_096).body)
        assert len(seen) > len(words)
        assert words[:64] not in seen
        assert b"client" not in seen
        for machine, made in ((right.host, client), (left.host, host), (public, relay)):
            await machine.run(made.close)
        await asyncio.sleep(0)
