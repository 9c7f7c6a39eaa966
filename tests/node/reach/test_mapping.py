"""Ports held open for as long as the program runs, whatever the router does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from node.reach import mapping
from node.reach.errors import NoAnswer, NoGateway, ReachError, RouterRefused
from node.reach.gateway import Gateway
from node.reach.mapping import Pace, PortMapper
from node.reach.methods import Method, NatPmp, Pcp, Upnp
from node.reach.ports import Mapped, Wanted, granted
from tests.fakes.deadline import until
from tests.fakes.router import EXTERNAL, LOOPBACK, FakeRouter, router
from wire.messages.reach import Transport
from wire.types import Address

QUICK = (0.05, 0.05)
PORTS = ((Transport.TCP, 7311), (Transport.UDP, 7311))
FAST = Pace(renew_least_s=0.02, retry_first_s=0.02, retry_most_s=0.05, look_s=0.02)


@asynccontextmanager
async def running(mapper: PortMapper) -> AsyncIterator[PortMapper]:
    """Run the mapper until the end of the block, then let it withdraw."""
    task = asyncio.ensure_future(mapper.run())
    try:
        yield mapper
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def real_ways(fake: FakeRouter) -> Callable[[Gateway], list[Method]]:
    return lambda gateway: [
        Pcp(gateway, port=fake.udp_port, waits_s=QUICK),
        NatPmp(gateway, port=fake.udp_port, waits_s=QUICK),
        Upnp(gateway, port=fake.ssdp_port, waits_s=QUICK),
    ]


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP", "UPnP"])
async def test_the_first_way_that_works_is_used_and_all_is_given_back(speaks: str) -> None:
    changes: list[tuple[Mapped, ...]] = []
    async with router() as fake:
        fake.speaks = {speaks}
        mapper = PortMapper(PORTS, on_change=changes.append, find=lambda: [LOOPBACK], methods=real_ways(fake))
        async with running(mapper):
            await until(lambda: len(mapper.mapped) == 2)
            assert {one.method for one in mapper.mapped} == {speaks}
            assert {one.external for one in mapper.mapped} == {Address(EXTERNAL, 7311)}
            assert fake.mappings == {("TCP", 7311): 7311, ("UDP", 7311): 7311}
            assert mapper.problem is None
        assert fake.mappings == {}
        assert [len(one) for one in changes] == [2, 0]


class Scripted:
    """A way whose answers are given in advance: a lifetime, or an error."""

    def __init__(self, name: str, *answers: int | ReachError, last: int | ReachError) -> None:
        self.name = name
        self.answers = list(answers)
        self.last = last
        self.asked: list[Wanted] = []
        self.withdrawn: list[Mapped] = []
        self.ip = "8.8.4.4"
        self.port_shift = 0

    async def map(self, wanted: Wanted) -> Mapped:
        self.asked.append(wanted)
        answer = self.answers.pop(0) if self.answers else self.last
        if isinstance(answer, ReachError):
            raise answer
        port = wanted.external_port + self.port_shift
        return granted(wanted, ip=self.ip, port=port, lifetime_s=answer, method=self.name)

    async def unmap(self, held: Mapped) -> None:
        self.withdrawn.append(held)


def mapper_of(
    *ways: Scripted, pace: Pace = FAST, on_change: Callable[[tuple[Mapped, ...]], None] = lambda _: None,
    ports: Sequence[tuple[Transport, int]] = PORTS[:1],
) -> PortMapper:  # fmt: skip
    return PortMapper(
        ports, find=lambda: [LOOPBACK], methods=lambda _: list(ways), pace=pace, on_change=on_change
    )


async def test_a_mapping_is_renewed_at_half_its_life() -> None:
    way = Scripted("PCP", last=1)
    async with running(mapper_of(way)):
        await until(lambda: len(way.asked) == 1)
        started = asyncio.get_running_loop().time()
        await until(lambda: len(way.asked) == 2)
        assert 0.4 <= asyncio.get_running_loop().time() - started < 0.9


async def test_a_lifetime_of_a_second_does_not_make_us_flood_the_router() -> None:
    way = Scripted("PCP", last=1)
    async with running(mapper_of(way, pace=Pace())) as mapper:
        await until(lambda: len(way.asked) == 1)
        assert await mapper._renew(mapper._routers[LOOPBACK]) == Pace().renew_least_s


async def test_a_mapping_without_end_is_made_again_now_and_then() -> None:
    way = Scripted("UPnP", last=0)
    async with running(mapper_of(way, pace=Pace())) as mapper:
        await until(lambda: len(way.asked) == 1)
        assert await mapper._renew(mapper._routers[LOOPBACK]) == Pace().renew_most_s


async def test_the_second_port_is_asked_for_under_the_number_the_first_got() -> None:
    way = Scripted("PCP", last=600)
    way.port_shift = 5
    async with running(mapper_of(way, ports=PORTS)):
        await until(lambda: len(way.asked) == 2)
        assert [one.external_port for one in way.asked] == [7311, 7316]


async def test_a_renewal_asks_for_the_port_it_has() -> None:
    way = Scripted("PCP", last=600)
    way.port_shift = 5
    async with running(mapper_of(way)) as mapper:
        await until(lambda: len(way.asked) == 1)
        mapper.hurry()
        await until(lambda: len(way.asked) == 2)
        assert way.asked[1].external_port == 7316


async def test_the_way_that_worked_is_tried_first_the_next_time() -> None:
    silent, good = Scripted("PCP", last=NoAnswer("PCP")), Scripted("UPnP", last=600)
    async with running(mapper_of(silent, good)) as mapper:
        await until(lambda: mapper.mapped)
        mapper.hurry()
        await until(lambda: len(good.asked) == 2)
        assert len(silent.asked) == 1


async def test_a_failed_renewal_keeps_the_mapping_until_it_lapses_and_then_says_so() -> None:
    changes: list[tuple[Mapped, ...]] = []
    way = Scripted("PCP", 1, last=NoAnswer("PCP"))
    async with running(mapper_of(way, on_change=changes.append)) as mapper:
        await until(lambda: len(way.asked) == 3)
        assert len(mapper.mapped) == 1
        assert isinstance(mapper.problem, NoAnswer)
        await until(lambda: [len(one) for one in changes] == [1, 0])
        way.last = 600
        await until(lambda: len(changes) == 3)
        assert mapper.problem is None


async def test_a_new_external_address_is_told() -> None:
    changes: list[tuple[Mapped, ...]] = []
    way = Scripted("PCP", last=600)
    async with running(mapper_of(way, on_change=changes.append)) as mapper:
        await until(lambda: changes)
        way.ip = "9.9.9.9"
        mapper.hurry()
        await until(lambda: len(changes) == 2)
        assert changes[1][0].external.ip == "9.9.9.9"


async def test_a_refusal_is_told_rather_than_a_silence() -> None:
    refusal = RouterRefused("PCP", 2, "not authorised")
    ways = [Scripted("PCP", last=refusal), Scripted("UPnP", last=NoAnswer("UPnP"))]
    async with running(mapper_of(*ways)) as mapper:
        await until(lambda: len(ways[1].asked) == 2)
        assert mapper.problem is refusal


async def test_pauses_after_failures_grow_to_their_bound() -> None:
    way = Scripted("PCP", last=NoAnswer("PCP"))
    pace = Pace()
    async with running(mapper_of(way, pace=pace)) as mapper:
        await until(lambda: len(way.asked) == 1)
        state = mapper._routers[LOOPBACK]
        assert [await mapper._renew(state) for _ in range(6)] == [60, 120, 240, 480, 900, 900]


async def test_a_network_without_a_router_is_a_problem_with_a_name_until_there_is_one() -> None:
    found: list[Gateway] = []
    way = Scripted("PCP", last=600)
    mapper = PortMapper(PORTS[:1], find=lambda: found, methods=lambda _: [way], pace=FAST)
    async with running(mapper):
        await asyncio.sleep(0)
        assert isinstance(mapper.problem, NoGateway)
        found.append(LOOPBACK)
        await until(lambda: mapper.mapped)
        found.clear()
        await until(lambda: not mapper.mapped)
        assert isinstance(mapper.problem, NoGateway)


async def test_what_was_made_before_a_stop_half_way_is_withdrawn() -> None:
    class Stuck(Scripted):
        async def map(self, wanted: Wanted) -> Mapped:
            if wanted.transport is Transport.UDP:
                self.asked.append(wanted)
                await asyncio.Event().wait()
            return await super().map(wanted)

    way = Stuck("PCP", last=600)
    async with running(mapper_of(way, ports=PORTS)):
        await until(lambda: len(way.asked) == 2)
    assert [one.transport for one in way.withdrawn] == [Transport.TCP]


async def test_a_router_that_does_not_answer_a_withdrawal_holds_the_end_up_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mapping, "WITHDRAW_S", 0.05)

    class Deaf(Scripted):
        async def unmap(self, held: Mapped) -> None:
            await asyncio.Event().wait()

    caplog.set_level(logging.INFO)
    way = Deaf("PCP", last=600)
    async with asyncio.timeout(5):
        async with running(mapper_of(way)) as mapper:
            await until(lambda: mapper.mapped)
    assert "lapse by themselves" in caplog.text


async def test_a_withdrawal_that_is_refused_does_not_keep_the_others() -> None:
    class Grudging(Scripted):
        async def unmap(self, held: Mapped) -> None:
            await super().unmap(held)
            raise RouterRefused("PCP", 2, "not authorised")

    way = Grudging("PCP", last=600)
    async with running(mapper_of(way, ports=PORTS)) as mapper:
        await until(lambda: len(mapper.mapped) == 2)
    assert len(way.withdrawn) == 2
