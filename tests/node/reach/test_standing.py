"""What a process knows of its own reachability, from the peers it speaks with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from crypto.identity import PeerId
from node.reach.dial_back import Proven, Verdict
from node.reach.observed import network_of
from node.reach.proving import Line, Prover
from node.reach.standing import Pace, Standing
from tests.fakes.deadline import until
from tests.fakes.lines import FakeLine
from wire.messages.reach import Transport
from wire.types import Address

TCP = Transport.TCP
OURS = Address("8.8.4.4", 7311)
FAST = Pace(look_s=0.005, again_s=0.05, renew_s=60.0)


class Told(Prover):
    """Peers answer as they are told to."""

    def __init__(self) -> None:
        async def tell(peer: PeerId, address: Address, message: object) -> None:
            raise AssertionError("nobody is dialled here")

        super().__init__(tell=tell)
        self.asked: list[tuple[PeerId, int]] = []
        self.proves = True
        self.refusing: set[PeerId] = set()

    async def ask(self, line: Line, transport: Transport, port: int) -> Verdict | None:
        self.asked.append((line.peer_id, port))
        return Verdict(
            transport=transport,
            address=Address(OURS.ip, port),
            proven=self.proves,
            by=line.peer_id,
            network=network_of(line.remote.ip),
            refused=line.peer_id in self.refusing,
        )


def line(name: str, ip: str, via: PeerId | None = None) -> FakeLine:
    made = FakeLine(name, via=via)
    made.remote = Address(ip, 50_000)
    return made


Change = tuple[Transport, tuple[Address, ...]]


@asynccontextmanager
async def standing(
    *lines: FakeLine, needed: int = 2, pace: Pace = FAST
) -> AsyncIterator[tuple[Standing, Told, list[Change]]]:
    prover, changes = Told(), list[Change]()
    made = Standing(
        prover,
        lines=lambda: lines,
        ports=lambda: [(TCP, OURS.port)],
        on_change=lambda transport, addresses: changes.append((transport, addresses)),
        proven=Proven(needed=needed),
        pace=pace,
    )
    running = asyncio.ensure_future(made.run())
    try:
        yield made, prover, changes
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_two_networks_prove_a_port_and_are_then_left_alone() -> None:
    async with standing(line("a", "1.1.0.1"), line("b", "2.2.0.1"), line("c", "2.2.0.2")) as (
        made,
        prover,
        changes,
    ):
        assert not made.needs_relay
        await until(lambda: changes)
        assert changes == [(TCP, (OURS,))]
        assert made.addresses(TCP) == (OURS,)
        assert not made.needs_relay
        assert len(prover.asked) == 2
        await asyncio.sleep(0.1)
        assert len(prover.asked) == 2


async def test_a_port_that_nobody_reaches_needs_a_relay_and_is_asked_for_again() -> None:
    async with standing(line("a", "1.1.0.1"), line("b", "2.2.0.1")) as (made, prover, changes):
        prover.proves = False
        await until(lambda: len(prover.asked) >= 4)
        assert made.needs_relay
        assert changes == []
        prover.proves = True
        await until(lambda: changes)
        assert not made.needs_relay


async def test_a_peer_that_refuses_is_passed_over_for_another_of_its_network() -> None:
    a, b, other = line("a", "1.1.0.1"), line("b", "1.1.0.2"), line("c", "2.2.0.1")
    async with standing(a, b, other, pace=Pace(look_s=0.005)) as (_, prover, changes):
        prover.refusing = {a.peer_id}
        await until(lambda: changes)
        assert [peer for peer, _ in prover.asked] == [a.peer_id, b.peer_id, other.peer_id]


async def test_carried_links_are_never_asked_and_silence_is_not_a_no() -> None:
    async with standing(line("a", "1.1.0.1", via=PeerId(b"r" * 32))) as (made, prover, _):
        await asyncio.sleep(0.03)
        assert prover.asked == []
        assert not made.was_tried
        assert not made.needs_relay


async def test_on_another_network_everything_is_asked_anew() -> None:
    async with standing(line("a", "1.1.0.1"), needed=1) as (made, prover, changes):
        await until(lambda: changes)
        made.forget()
        prover.proves = False
        await until(lambda: len(changes) == 2)
        assert changes[1] == (TCP, ())
