"""Reservations kept while they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from crypto.identity import Identity, PeerId
from node.relay.errors import RelayError
from node.relay.keeping import KEPT, Keeper, Pace
from tests.fakes.pools import LOOPBACK, until
from tests.fakes.relays import GENEROUS, Station
from wire.codes import Code
from wire.messages.relay import RelayReserve
from wire.relay import Terms
from wire.types import Address, Relayed

Kept = tuple[list[Station], Station, list[bool], Keeper, list[tuple[Relayed, ...]]]
"""The relays, the host, whether it wants them, its keeper, and what that told."""
FAST = Pace(look_s=0.01, least_s=0.05)


@asynccontextmanager
async def kept(
    *terms: Terms | None,
) -> AsyncIterator[Kept]:
    relays = [Station(f"relay{number}", one) for number, one in enumerate(terms)]
    host, wanted = Station("host"), [True]
    told: list[tuple[Relayed, ...]] = []

    def offered() -> list[tuple[PeerId, Address]]:
        return [(one.peer_id, one.address) for one in relays]

    keeper = Keeper(host.client, relays=offered, wanted=lambda: wanted[0], on_change=told.append, pace=FAST)
    for relay in relays:
        await relay.listen()
    running = asyncio.ensure_future(keeper.run())
    try:
        yield relays, host, wanted, keeper, told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        for one in (host, *relays):
            await one.close()


async def test_the_first_relays_that_agree_are_kept_and_no_more() -> None:
    async with kept(None, GENEROUS, GENEROUS, GENEROUS) as (relays, _, _, keeper, told):
        await until(lambda: len(keeper.addresses) == KEPT)
        await until(lambda: bool(told))
        assert keeper.addresses == tuple(Relayed(one.peer_id, one.address) for one in relays[1:3])


async def test_a_reservation_is_renewed_before_it_lapses() -> None:
    async with kept(Terms(reservation_s=1)) as (relays, _, _, keeper, told):
        await until(lambda: len(keeper.addresses) == 1)
        asked = [one for _, one in relays[0].notes.messages if isinstance(one, RelayReserve)]
        await until(
            lambda: len([one for _, one in relays[0].notes.messages if isinstance(one, RelayReserve)]) > 3
        )
        assert asked
        assert len(told) == 1


async def test_a_relay_that_is_lost_is_replaced() -> None:
    async with kept(GENEROUS, GENEROUS, GENEROUS) as (relays, host, _, keeper, _):
        await until(lambda: len(keeper.addresses) == KEPT)
        await relays[0].pool.close()
        await until(
            lambda: keeper.addresses == tuple(Relayed(one.peer_id, one.address) for one in relays[1:])
        )
        assert host.notes.codes == [Code.SHUTTING_DOWN]


async def test_what_is_no_longer_wanted_is_let_go() -> None:
    async with kept(GENEROUS) as (_, _, wanted, keeper, told):
        await until(lambda: bool(told))
        wanted[0] = False
        await until(lambda: told[-1] == ())
        assert keeper.addresses == ()


async def test_a_relay_that_refuses_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    class Nobody:
        async def reserve(self, relay: PeerId, address: Address) -> None:
            asked.append(asyncio.get_running_loop().time())
            raise RelayError("no", "try later")

    keeper = Keeper(
        Nobody(),  # type: ignore[arg-type]  # all that is needed of a client here
        relays=lambda: [(Identity.from_seed(bytes(32)).peer_id, LOOPBACK)],
        wanted=lambda: True,
        pace=Pace(look_s=0.005, least_s=0.1),
    )
    running = asyncio.ensure_future(keeper.run())
    await until(lambda: len(asked) == 3)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert asked[1] - asked[0] >= 0.1
