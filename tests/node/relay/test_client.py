"""Links by a relay: opened, used, refused, lost."""

from __future__ import annotations

import asyncio

import pytest

from crypto.identity import Identity, PeerId
from node.relay.client import RelayClient
from node.relay.errors import CircuitTimedOut, ReservationRefused
from node.relay.line import Line
from node.transport.errors import DialError, WrongPeer
from tests.fakes.joined import step
from tests.fakes.lines import FakeLine
from tests.fakes.pools import until
from tests.fakes.relays import stations
from wire import limits
from wire.codes import Code
from wire.messages.forward import Forward
from wire.messages.relay import RelayClose, RelayIncoming, RelayReserve, RelayReserved
from wire.reservation import sign_reservation
from wire.types import Address, Relayed

AT = Address("127.0.0.1", 7311)


async def test_a_link_by_a_relay_is_a_link_to_the_host() -> None:
    async with stations() as (relay, host, client):
        where = await host.reserve(relay)
        link = await client.pool.link_to(host.peer_id, where)
        assert (link.peer_id, link.via, link.remote) == (host.peer_id, relay.peer_id, relay.address)
        assert await client.pool.link_to(host.peer_id, where) is link
        for number, size in enumerate((2, 100_000, 3_000_000)):
            link.send(step(size, number=number))
        await host.notes.until(lambda: sorted(host.notes.steps) == [0, 1, 2])
        for _, message in host.notes.messages:
            if isinstance(message, Forward):
                assert message.body == step(len(message.body)).body
        back = host.pool.links[client.peer_id]
        assert (back.via, back.inbound) == (relay.peer_id, True)
        back.send(step(1_000_000, number=9))
        await client.notes.until(lambda: client.notes.steps == [9])
        assert relay.service.circuits == 1


async def test_a_link_that_ends_leaves_nothing_anywhere() -> None:
    async with stations() as (relay, host, client):
        link = await client.pool.link_to(host.peer_id, await host.reserve(relay))
        await link.close(Code.IDLE)
        await host.notes.until(lambda: host.notes.codes == [Code.IDLE])
        await until(lambda: not relay.service.circuits)
        await until(lambda: not host.client._streams and not client.client._streams)
        assert host.client.is_busy(host.pool.links[relay.peer_id])
        assert not client.client.is_busy(client.pool.links[relay.peer_id])


async def test_the_relay_cannot_be_taken_for_the_host() -> None:
    """The stream leads to another peer than the one that was meant: the handshake inside fails."""
    async with stations() as (relay, host, client):
        where = await host.reserve(relay)
        meant = Identity.from_seed(b"z" * 32).peer_id
        # The relay lies about who has reserved with it.
        assert relay.service._relay is not None
        books = relay.service._relay._reservations
        books[meant] = books[host.peer_id]
        with pytest.raises(WrongPeer):
            await client.pool.link_to(meant, where)


async def test_a_host_nobody_carries_is_said_to_be_so() -> None:
    async with stations() as (relay, host, client):
        where = Relayed(relay.peer_id, relay.address)
        with pytest.raises(DialError, match="no_reservation"):
            await client.pool.link_to(host.peer_id, where)
        assert client.client._opening == {}


async def test_a_peer_that_is_no_relay_says_so() -> None:
    async with stations(None) as (relay, host, client):
        with pytest.raises(ReservationRefused) as raised:
            await host.reserve(relay)
        assert raised.value.code == Code.NO_RELAY
        with pytest.raises(DialError, match="no_relay"):
            await client.pool.link_to(host.peer_id, Relayed(relay.peer_id, relay.address))


async def test_when_the_relay_ends_the_links_end() -> None:
    async with stations() as (relay, host, client):
        await client.pool.link_to(host.peer_id, await host.reserve(relay))
        await relay.pool.close()
        await client.notes.until(lambda: len(client.notes.codes) == 2)
        await host.notes.until(lambda: len(host.notes.codes) == 2)
        assert not host.client._reserved
        assert not host.client._streams


async def test_a_cancelled_dial_leaves_no_circuit() -> None:
    async with stations() as (relay, host, client):
        where = await host.reserve(relay)
        await client.pool.link_to(relay.peer_id, relay.address)
        dialling = asyncio.ensure_future(client.pool.link_to(host.peer_id, where))
        await until(lambda: bool(client.client._opening))
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await until(lambda: not relay.service.circuits and not host.client._streams)
        assert client.client._opening == {}


def by_hand(line: FakeLine, me: PeerId) -> RelayClient:
    async def link_to(peer: PeerId, address: Address) -> Line:
        return line

    def accept(relay: PeerId, address: Address) -> asyncio.BufferedProtocol:
        raise AssertionError("nothing may be accepted")

    return RelayClient(me, link_to=link_to, accept=accept)


HOST, RELAY, OTHER = (Identity.from_seed(one * 32) for one in (b"h", b"r", b"o"))


def reserved(signer: Identity, *, host: Identity = HOST) -> RelayReserved:
    return RelayReserved(
        expires=99, lifetime_s=60, circuits=1, circuit_bytes=1, circuit_s=1, key=signer.public_key,
        signature=sign_reservation(signer, host.peer_id, 99),
    )  # fmt: skip


@pytest.mark.parametrize("promise", [reserved(OTHER), reserved(RELAY, host=OTHER)])
async def test_a_promise_that_the_relay_did_not_sign_for_us_is_none(promise: RelayReserved) -> None:
    line = FakeLine()
    line.peer_id = RELAY.peer_id
    client = by_hand(line, HOST.peer_id)
    asking = asyncio.ensure_future(client.reserve(RELAY.peer_id, AT))
    await asyncio.sleep(0)
    assert line.said() == [RelayReserve()]
    client.on_message(line, promise)
    with pytest.raises(ReservationRefused):
        await asking
    assert not client.is_reserved(line)


async def test_a_relay_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_OPEN_TIMEOUT_S", 0.02)
    line = FakeLine()
    client = by_hand(line, HOST.peer_id)
    with pytest.raises(CircuitTimedOut):
        await client.reserve(RELAY.peer_id, AT)
    with pytest.raises(CircuitTimedOut):
        await client.connect(asyncio.BufferedProtocol(), OTHER.peer_id, Relayed(RELAY.peer_id, AT))
    assert isinstance(line.sent[-1], RelayClose)
    assert client._reserving == {}


async def test_a_relay_that_is_itself_carried_is_not_used() -> None:
    client = by_hand(FakeLine(via=OTHER.peer_id), HOST.peer_id)
    with pytest.raises(ReservationRefused):
        await client.reserve(RELAY.peer_id, AT)


async def test_what_comes_without_a_reservation_or_after_it_is_refused() -> None:
    line = FakeLine()
    client = by_hand(line, HOST.peer_id)
    for _ in range(2):
        client.on_message(line, RelayIncoming(circuit=bytes(16), client=OTHER.peer_id))
        [answer] = line.said()
        assert isinstance(answer, RelayClose)
        assert answer.code == Code.NO_RESERVATION
        client._reserved[line] = asyncio.get_running_loop().time()
    assert not client.is_busy(line)
