"""Each way to ask a router, against one that runs here, honest and not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.reach.errors import BadAnswer, NoAnswer, ReachError, RouterRefused
from node.reach.gateway import Gateway
from node.reach.methods import Method, NatPmp, Pcp, Upnp, methods_for
from node.reach.ports import Wanted
from tests.fakes.router import EXTERNAL, LOOPBACK, FakeRouter, router
from wire.messages.reach import Transport
from wire.types import Address

WANTED = Wanted(transport=Transport.TCP, internal_port=7311, external_port=7400)
QUICK = (0.05, 0.05)


def pcp(fake: FakeRouter) -> Method:
    return Pcp(LOOPBACK, port=fake.udp_port, waits_s=QUICK)


def nat_pmp(fake: FakeRouter) -> Method:
    return NatPmp(LOOPBACK, port=fake.udp_port, waits_s=QUICK)


def upnp(fake: FakeRouter) -> Method:
    return Upnp(LOOPBACK, port=fake.ssdp_port, waits_s=QUICK)


ALL = pytest.mark.parametrize("make", [pcp, nat_pmp, upnp])
Make = Callable[[FakeRouter], Method]


@ALL
async def test_a_mapping_is_made_renewed_and_withdrawn(make: Make) -> None:
    async with router() as fake:
        method = make(fake)
        first = await method.map(WANTED)
        assert first.external == Address(EXTERNAL, 7400)
        assert first.method == method.name
        assert fake.mappings == {("TCP", 7400): 7311}
        assert await method.map(WANTED) == first
        assert fake.mappings == {("TCP", 7400): 7311}
        await method.unmap(first)
        assert fake.mappings == {}


@ALL
async def test_a_port_that_is_taken_becomes_another(make: Make) -> None:
    async with router() as fake:
        fake.taken = {7400}
        mapped = await make(fake).map(WANTED)
        assert mapped.external.port != 7400
        assert fake.mappings == {("TCP", mapped.external.port): 7311}


@ALL
async def test_a_router_that_is_silent_is_said_to_be(make: Make) -> None:
    async with router() as fake:
        fake.speaks = set()
        with pytest.raises(NoAnswer):
            await make(fake).map(WANTED)


@ALL
async def test_an_external_address_that_leads_nowhere_is_refused(make: Make) -> None:
    async with router() as fake:
        fake.external = "127.0.0.9"
        with pytest.raises(BadAnswer):
            await make(fake).map(WANTED)


@pytest.mark.parametrize("make", [pcp, nat_pmp])
async def test_bytes_that_are_changed_on_the_way_are_never_a_mapping(make: Make) -> None:
    for cut in (4, 8, 16, 23, 59):
        async with router() as fake:
            fake.mangle = lambda answer, cut=cut: answer[:cut] if cut < len(answer) else answer + b"x"  # type: ignore[misc]  # a default binds it
            with pytest.raises(ReachError):
                await make(fake).map(WANTED)


async def test_pcp_on_a_router_with_nat_pmp_only_is_refused_at_once() -> None:
    async with router() as fake:
        fake.speaks = {"NAT-PMP"}
        with pytest.raises(RouterRefused, match="another version"):
            await pcp(fake).map(WANTED)


async def test_another_program_cannot_withdraw_a_pcp_mapping() -> None:
    async with router() as fake:
        mapped = await pcp(fake).map(WANTED)
        with pytest.raises(RouterRefused):
            await pcp(fake).unmap(mapped)
        assert fake.mappings


async def test_a_router_without_leases_gets_one_without_end() -> None:
    async with router() as fake:
        fake.only_permanent = True
        mapped = await upnp(fake).map(WANTED)
        assert mapped.lifetime_s == 0
        assert fake.leases == [0]


async def test_withdrawing_what_the_router_has_forgotten_is_no_error() -> None:
    async with router() as fake:
        method = upnp(fake)
        mapped = await method.map(WANTED)
        fake.mappings.clear()
        await method.unmap(mapped)


async def test_a_router_whose_ports_are_all_taken_is_not_asked_for_ever() -> None:
    async with router() as fake:
        fake.taken = set(range(65_536))
        with pytest.raises(RouterRefused):
            await upnp(fake).map(WANTED)
        assert fake.asked.count("UPnP AddPortMapping") <= 8


async def test_a_description_elsewhere_is_never_fetched() -> None:
    async with router() as fake:
        fake.location = "http://127.0.0.2:80/desc.xml"
        with pytest.raises(NoAnswer):
            await upnp(fake).map(WANTED)


async def test_a_description_with_entities_is_refused() -> None:
    async with router() as fake:
        fake.description = b'<!DOCTYPE r [<!ENTITY x "y">]><r>&x;</r>'
        with pytest.raises(BadAnswer, match="document type"):
            await upnp(fake).map(WANTED)


async def test_a_router_that_restarts_elsewhere_is_found_again() -> None:
    async with router() as fake:
        method = upnp(fake)
        await method.map(WANTED)
        web = fake.http
        fake.http = lambda head, body: b"HTTP/1.1 404 gone\r\n\r\n"
        with pytest.raises(BadAnswer):
            await method.map(WANTED)
        fake.http = web
        assert (await method.map(WANTED)).external.port == 7400


def test_ipv4_routers_are_asked_three_ways_and_ipv6_ones_by_pcp() -> None:
    assert [one.name for one in methods_for(LOOPBACK)] == ["PCP", "NAT-PMP", "UPnP"]
    six = Gateway(ip="fe80::1%eth0", interface="eth0", own_ip="2001:db8::2")
    assert [one.name for one in methods_for(six)] == ["PCP"]
