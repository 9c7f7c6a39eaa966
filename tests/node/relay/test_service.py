"""A relay on real links, and a peer that is none."""

from __future__ import annotations

import asyncio

import pytest

from crypto.identity import Identity, PeerId
from node.relay.service import RelayService
from tests.fakes.joined import step
from tests.fakes.lines import FakeLine
from tests.fakes.pools import until
from tests.fakes.relays import Station, stations
from wire import limits
from wire.codes import Code
from wire.messages.relay import (
    RelayAccept,
    RelayClose,
    RelayConnect,
    RelayData,
    RelayIncoming,
    RelayNo,
    RelayReserve,
)
from wire.relay import Terms

NAME = bytes(16)


def test_a_peer_that_offers_nothing_refuses_in_a_word() -> None:
    service, line = RelayService(Identity.from_seed(bytes(32)), None), FakeLine()
    assert service.on_message(line, RelayReserve())
    assert service.on_message(line, RelayConnect(circuit=NAME, host=line.peer_id))
    no, close = line.said()
    assert isinstance(no, RelayNo)
    assert isinstance(close, RelayClose)
    assert no.code == close.code == Code.NO_RELAY
    assert not service.on_message(line, RelayData(circuit=NAME, body=b"x"))
    assert not service.is_busy(line)
    service.on_closed(line)
    assert (service.circuits, service.carried_bytes) == (0, 0)


def test_a_carried_link_cannot_reserve_or_be_carried_again() -> None:
    service = RelayService(Identity.from_seed(bytes(32)), Terms())
    line = FakeLine(via=PeerId(b"r" * 32))
    assert service.on_message(line, RelayReserve())
    [answer] = line.said()
    assert isinstance(answer, RelayNo)


def test_a_line_that_is_over_does_not_stop_the_others() -> None:
    service = RelayService(Identity.from_seed(bytes(32)), Terms())
    host, client = FakeLine("h"), FakeLine("c")
    service.on_message(host, RelayReserve())
    service.on_message(client, RelayConnect(circuit=NAME, host=host.peer_id))
    assert isinstance(host.said()[-1], RelayIncoming)
    client.is_over = True
    assert service.on_message(host, RelayAccept(circuit=NAME))
    service.on_closed(client)
    assert isinstance(host.said()[-1], RelayClose)


async def test_a_reader_that_stops_costs_the_relay_a_window_and_no_more() -> None:
    """The host's end never gives credit; the relay holds what was under way, and other circuits go on."""
    async with stations() as (relay, host, client):
        where = await host.reserve(relay)
        link = await client.pool.link_to(host.peer_id, where)
        [stream] = host.client._streams.values()
        deaf = stream._flow
        deaf.on_data = lambda size: 0  # type: ignore[method-assign]  # an end that takes and never tells
        before = relay.service.carried_bytes
        for number in range(6):
            link.send(step(limits.RELAY_WINDOW_BYTES, number=number))
        await until(lambda: relay.service.carried_bytes - before > limits.RELAY_WINDOW_BYTES // 2)
        other = Station("other")
        second = await other.pool.link_to(host.peer_id, where)
        second.send(step(2_000, number=77))
        await host.notes.until(lambda: 77 in host.notes.steps)
        assert relay.service.carried_bytes - before < 2 * limits.RELAY_WINDOW_BYTES
        await other.close()


async def test_a_circuit_that_is_spent_ends_both_links(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stations(Terms(circuit_bytes=100_000)) as (relay, host, client):
        where = await host.reserve(relay)
        link = await client.pool.link_to(host.peer_id, where)
        link.send(step(200_000, number=1))
        await client.notes.until(lambda: client.notes.codes == [Code.CONNECTION_LOST])
        await host.notes.until(lambda: host.notes.codes == [Code.CONNECTION_LOST])
        assert relay.service.circuits == 0
        assert (await client.pool.link_to(host.peer_id, where)) is not link


async def test_the_service_looks_at_the_time_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stations(Terms(circuit_s=0)) as (relay, host, client):
        where = await host.reserve(relay)
        monkeypatch.setattr(limits, "DIAL_TIMEOUT_S", 2.0)
        opening = asyncio.ensure_future(client.pool.link_to(host.peer_id, where))
        await asyncio.wait({opening})
        opening.exception()
        await until(lambda: relay.service.circuits == 0)
