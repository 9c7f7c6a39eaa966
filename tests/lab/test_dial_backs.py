"""Who can be reached, found out by being dialled back: in public, behind a mapping, and behind a closed router."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from node.reach.dial_back import Verdict, probe
from node.reach.gateway import gateways
from node.reach.methods import Pcp
from node.reach.observed import Nat, Observed
from node.reach.ports import Mapped, Wanted
from node.reach.proving import Prover
from node.transport.link import Link
from node.transport.pool import LinkPool
from tests.fakes.pools import Post
from tests.lab.namespaces import CONE, SYMMETRIC, Home, Lab, Machine, lab, miniupnpd, needs
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.reach import Transport
from wire.types import Address

pytestmark = needs("miniupnpd")
PORT = 7311


class Peer:
    """A pool with dial-backs, on one machine, and a UDP socket at the same port."""

    def __init__(self, name: str) -> None:
        self.pool: LinkPool = Post(name, on_message=self._message)
        self.prover = Prover(tell=self.pool.tell)
        self.pool.on_brief = self.prover.on_proof
        self._running = asyncio.ensure_future(self.prover.run())
        self._udp: asyncio.DatagramTransport | None = None

    def _message(self, link: Link, message: Message) -> None:
        self.prover.on_message(link, message)

    async def start(self, ip: str) -> None:
        await self.pool.listen(Address(ip, PORT))
        heard = self.prover.on_datagram

        class Ear(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
                heard(data)

        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ear, local_addr=(ip, PORT))

    async def ask(self, ip: str, transport: Transport) -> Verdict | None:
        link = await self.pool.link_to(None, Address(ip, PORT))
        return await self.prover.ask(link, transport, PORT)

    async def stop(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        if self._udp is not None:
            self._udp.close()
        await self.pool.close(Code.SHUTTING_DOWN)


async def verdicts(asker: Machine, dialler: Machine) -> list[Verdict | None]:
    """What a peer at one machine learns from a peer at another about its TCP port, then its UDP port."""

    async def make(name: str, ip: str) -> Peer:
        peer = Peer(name)
        await peer.start(ip)
        return peer

    theirs = await dialler.run(lambda: make("theirs", dialler.ip))
    found = []
    try:
        # A peer of its own for each question: one is not asked twice within `DIAL_BACK_INTERVAL_S`.
        for transport in Transport:
            ours = await asker.run(lambda: make("ours", asker.ip))
            theirs.prover._dialler._last.clear()
            found.append(await asker.run(partial(ours.ask, dialler.ip, transport)))
            await asker.run(ours.stop)
    finally:
        await dialler.run(theirs.stop)
    return found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Home, list[Machine]]]:
    with lab() as built:
        home, publics = built.home(CONE), [built.public() for _ in range(3)]
        with miniupnpd(home, tmp_path_factory.mktemp("miniupnpd")):
            yield built, home, publics


async def test_a_public_machine_is_reached(network: tuple[Lab, Home, list[Machine]]) -> None:
    _, _, [one, other, _] = network
    tcp, udp = await verdicts(one, other)
    assert tcp is not None
    assert udp is not None
    assert (tcp.proven, tcp.address) == (True, Address(one.ip, PORT))
    assert (udp.proven, udp.address) == (True, Address(one.ip, PORT))


async def test_a_machine_behind_a_router_is_not_reached(network: tuple[Lab, Home, list[Machine]]) -> None:
    _, home, [public, *_] = network
    tcp, udp = await verdicts(home.host, public)
    assert tcp is not None
    assert udp is not None
    assert not tcp.proven
    assert not udp.proven
    assert tcp.address == Address(home.router.ip, PORT)


async def test_a_machine_behind_a_mapping_is_reached(network: tuple[Lab, Home, list[Machine]]) -> None:
    _, home, [public, *_] = network

    async def opened(lifetime_s: int) -> None:
        method = Pcp(gateways()[0])
        for transport in Transport:
            wanted = Wanted(
                transport=transport, internal_port=PORT, external_port=PORT, lifetime_s=lifetime_s
            )
            held.append((method, await method.map(wanted)))

    async def closed() -> None:
        for method, mapped in held:
            await method.unmap(mapped)

    held: list[tuple[Pcp, Mapped]] = []
    await home.host.run(lambda: opened(600))
    try:
        tcp, udp = await verdicts(home.host, public)
    finally:
        await home.host.run(closed)
    assert tcp is not None
    assert udp is not None
    assert (tcp.proven, tcp.address) == (True, Address(home.router.ip, PORT))
    assert (udp.proven, udp.address) == (True, Address(home.router.ip, PORT))


@pytest.mark.parametrize(("nat", "kind"), [(CONE, Nat.STEADY), (SYMMETRIC, Nat.SYMMETRIC)])
async def test_what_public_machines_see_of_one_socket_tells_a_symmetric_router(nat: str, kind: Nat) -> None:
    with lab() as built:
        home, publics = built.home(nat), [built.public() for _ in range(3)]

        async def echo(ip: str) -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((ip, PORT))
            return sock

        async def answer(sock: socket.socket) -> tuple[str, int]:
            async with asyncio.timeout(5):
                _, source = await asyncio.get_running_loop().sock_recvfrom(sock, 100)
            sock.close()
            return str(source[0]), int(source[1])

        async def throw() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((home.host.ip, PORT))
                for public in publics:
                    sock.sendto(probe(bytes(16)), (public.ip, PORT))

        ears = [await public.run(partial(echo, public.ip)) for public in publics]
        await home.host.run(throw)
        seen = Observed()
        for public, ear in zip(publics, ears, strict=True):
            ip, port = await public.run(partial(answer, ear))
            seen.saw(public.ip, Address(ip, port), datagram=True, now=time.monotonic())
        assert seen.nat(4, time.monotonic()) is kind
        assert seen.ip(4, time.monotonic()) == home.router.ip
