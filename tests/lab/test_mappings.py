"""PCP, NAT-PMP and UPnP against the software that many home routers run, and what comes through a mapping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from node.reach.errors import NoAnswer
from node.reach.gateway import Gateway, gateways
from node.reach.mapping import Pace, PortMapper
from node.reach.methods import Method, NatPmp, Pcp, Upnp
from node.reach.ports import Mapped
from tests.fakes.deadline import until
from tests.lab.namespaces import Home, Lab, Machine, lab, miniupnpd, needs
from wire.messages.reach import Transport

pytestmark = needs("miniupnpd")

PORTS = ((Transport.TCP, 7311), (Transport.UDP, 7311))
LONG = Pace(lifetime_s=600)
WAYS: dict[str, Callable[[Gateway], Method]] = {"PCP": Pcp, "NAT-PMP": NatPmp, "UPnP": Upnp}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Home, Machine]]:
    """A home whose router does as it is asked, and a machine in public."""
    with lab() as built:
        home, public = built.home(), built.public()
        with miniupnpd(home, tmp_path_factory.mktemp("miniupnpd")):
            yield built, home, public


def rules(home: Home) -> str:
    """What the router lets in."""
    return home.router.command("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")


@asynccontextmanager
async def mapping(
    home: Home, method: Callable[[Gateway], Method], pace: Pace = LONG
) -> AsyncIterator[list[tuple[Mapped, ...]]]:
    """Hold the ports open on the home's machine until the end of the block; yields what was told."""
    told: list[tuple[Mapped, ...]] = []

    async def hold() -> None:
        mapper = PortMapper(
            PORTS, methods=lambda gateway: [method(gateway)], on_change=told.append, pace=pace
        )
        await mapper.run()

    running = asyncio.ensure_future(home.host.run(hold))
    try:
        yield told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await until(lambda: told and not told[-1])


async def hears(machine: Machine, port: int) -> tuple[Callable[[], list[bytes]], Callable[[], None]]:
    """Listen at a TCP port; return what was said there, and how to stop."""
    said: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read())
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(handle, machine.ip, port)

    server = await machine.run(listen)

    def stop() -> None:
        assert machine.loop is not None
        machine.loop.call_soon_threadsafe(server.close)

    return lambda: said, stop


async def says(machine: Machine, ip: str, port: int, words: bytes) -> bool:
    """Connect and say something; whether that was possible."""

    async def talk() -> bool:
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(ip, port)
        except OSError:
            return False
        writer.write(words)
        writer.close()
        await writer.wait_closed()
        return True

    return await machine.run(talk)


async def test_the_gateway_and_our_own_address_are_found(network: tuple[Lab, Home, Machine]) -> None:
    _, home, _ = network

    async def look() -> list[Gateway]:
        return gateways()

    assert await home.host.run(look) == [Gateway(ip=home.lan_ip, interface="eth0", own_ip=home.host.ip)]


@pytest.mark.parametrize("name", list(WAYS))
async def test_a_port_is_opened_used_and_closed_again(network: tuple[Lab, Home, Machine], name: str) -> None:
    _, home, public = network
    heard, stop = await hears(home.host, 7311)
    try:
        assert not await says(public, home.router.ip, 7311, b"too early")
        async with mapping(home, WAYS[name]) as told:
            await until(lambda: told)
            assert {(one.transport, one.method, str(one.external)) for one in told[0]} == {
                (Transport.TCP, name, f"{home.router.ip}:7311"),
                (Transport.UDP, name, f"{home.router.ip}:7311"),
            }
            assert rules(home).count("7311") == 4
            assert await says(public, home.router.ip, 7311, name.encode())
            await until(lambda: heard() == [name.encode()])
        assert "7311" not in rules(home)
        assert not await says(public, home.router.ip, 7311, b"too late")
    finally:
        stop()


@pytest.mark.parametrize("name", list(WAYS))
async def test_a_mapping_that_is_renewed_outlives_its_lifetime(
    network: tuple[Lab, Home, Machine], name: str
) -> None:
    """Two seconds, granted again and again; without a renewal the router takes the ports back."""
    _, home, _ = network
    loop = asyncio.get_running_loop()
    async with mapping(home, WAYS[name], Pace(lifetime_s=2, renew_least_s=0.5)) as told:
        await until(lambda: told)
        first = loop.time()
        while loop.time() < first + 3.5:
            assert rules(home).count("7311") == 4
            await asyncio.sleep(0.2)
        assert len(told) == 1


async def test_without_a_renewal_the_router_takes_a_port_back(network: tuple[Lab, Home, Machine]) -> None:
    _, home, _ = network
    async with mapping(home, Pcp, Pace(lifetime_s=1, renew_least_s=60)) as told:
        await until(lambda: told)
        await until(lambda: "7311" not in rules(home))


async def test_an_ipv6_router_is_found_by_its_link_local_address_and_opens_a_port(tmp_path: Path) -> None:
    """Both routers of one home, one per family, at once; what is opened for IPv6 is our own address."""
    with lab() as built:
        home = built.home()
        own = built.six(home)
        told: list[tuple[Mapped, ...]] = []

        async def hold() -> None:
            await PortMapper(PORTS, on_change=told.append, pace=LONG).run()

        with miniupnpd(home, tmp_path, extra="ipv6_disable=no\n"):
            running = asyncio.ensure_future(home.host.run(hold))
            await until(lambda: told)
            assert {str(one.external) for one in told[0]} == {f"{home.router.ip}:7311", f"[{own}]:7311"}
            chain = ("nft", "list", "chain", "inet", "filter", "miniupnpd")
            assert home.router.command(*chain).count("0x2a01") == 2
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await until(lambda: told[-1] == ())
            assert "7311" not in home.router.command(*chain)


async def test_a_router_that_knows_none_of_the_ways_is_said_to_be_silent() -> None:
    with lab() as built:
        home = built.home()
        ways = (Pcp, NatPmp, Upnp)

        async def try_once() -> str:
            mapper = PortMapper(
                PORTS, methods=lambda gateway: [way(gateway, waits_s=(0.2, 0.2)) for way in ways]
            )
            running = asyncio.ensure_future(mapper.run())
            await until(lambda: isinstance(mapper.problem, NoAnswer))
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            return str(mapper.problem)

        assert "did not answer" in await home.host.run(try_once)
