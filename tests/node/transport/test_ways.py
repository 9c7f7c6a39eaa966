"""Direct ways first, relays when there is no other, and direct ways again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from crypto.identity import Identity
from node.transport.errors import DialRefused, DialUnreachable
from node.transport.ways import Pace, Upgrader, link_by
from tests.fakes.pools import posts, until
from tests.node.transport.test_carrier import NOWHERE, RELAY, WHERE, Socket
from wire.types import Address, Relayed


async def test_a_direct_way_is_taken_before_a_relay_however_they_are_listed() -> None:
    async with posts("a", "b") as [a, b]:
        socket = Socket(b)
        a.carry_by(socket)
        link = await link_by(a, b.peer_id, [WHERE, NOWHERE, b.address])
        assert link.via is None
        assert socket.asked == []


async def test_a_relay_is_taken_when_no_direct_way_works() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        assert (await link_by(a, b.peer_id, [WHERE, NOWHERE])).via == RELAY


async def test_when_nothing_works_the_last_reason_is_told() -> None:
    async with posts("a", "b") as [a, b]:
        with pytest.raises(DialRefused):
            await link_by(a, b.peer_id, [NOWHERE])
        with pytest.raises(DialUnreachable, match="no address"):
            await link_by(a, b.peer_id, [])


async def test_a_record_with_a_thousand_addresses_costs_a_few_dials() -> None:
    async with posts("a", "b") as [a, b]:
        socket = Socket(b)
        socket.error = DialRefused(NOWHERE, RELAY, "nobody is there", "wait")
        a.carry_by(socket)
        many = [Relayed(Identity.from_seed(bytes((n,)) * 32).peer_id, NOWHERE) for n in range(100)]
        with pytest.raises(DialRefused):
            await link_by(a, b.peer_id, many)
        assert len(socket.asked) == 8


async def test_a_carried_link_is_replaced_once_a_direct_way_works() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        carried = await a.link_to(b.peer_id, WHERE)
        addresses: list[Address] = [NOWHERE]
        upgrader = Upgrader(a, lambda peer: addresses, Pace(look_s=0.005, first_s=0.01, most_s=0.02))
        running = asyncio.ensure_future(upgrader.run())
        await until(lambda: upgrader._due.get(b.peer_id, (0.0, 0.0))[1] == 0.02)
        assert a.links[b.peer_id] is carried
        addresses.append(b.address)
        await until(lambda: a.links[b.peer_id].via is None)
        await until(lambda: not upgrader._due)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_direct_ways_are_tried_less_and_less_often() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        await a.link_to(b.peer_id, WHERE)
        upgrader = Upgrader(a, lambda peer: [])
        tried = []
        for second in range(4_000):
            before = upgrader._due.get(b.peer_id)
            await upgrader._round(float(second))
            if before is not None and upgrader._due[b.peer_id] != before:
                tried.append(second)
        assert tried[:6] == [15, 45, 105, 225, 465, 945]
        assert tried[7] - tried[6] == 900


async def test_a_pool_that_closes_ends_the_attempt_quietly() -> None:
    async with posts("a", "b") as [a, b]:
        a.carry_by(Socket(b))
        await a.link_to(b.peer_id, WHERE)
        upgrader = Upgrader(a, lambda peer: [b.address], Pace(first_s=0.0))
        await a.close()
        await upgrader._try(b.peer_id)
