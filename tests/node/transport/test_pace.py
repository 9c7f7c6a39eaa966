"""Links whose bytes somebody limits: a gate that is opened by hand, and the real one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from crypto.identity import Identity, PeerId
from node.manners.pacing import Pacer
from node.transport.pace import Pace
from tests.fakes.joined import OTHER_SESSION, small, step
from tests.fakes.pools import LOOPBACK, Post, until
from wire.codes import Code
from wire.types import Address, Relayed

MEBIBYTE = 1024 * 1024
Body = Callable[[], Coroutine[Any, Any, None]]


def on_asyncio(body: Body) -> None:
    with asyncio.Runner(debug=True) as runner:
        runner.run(body())


def on_uvloop(body: Body) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


LOOPS = pytest.mark.parametrize("run", [on_asyncio, on_uvloop])


class HandGate:
    """Lets through what it is told to, and remembers who asked."""

    def __init__(self) -> None:
        self.limited = True
        self.quantum_bytes = 16 * 1024
        self.window_bytes = 128 * 1024
        self.open = True
        self.spent: list[int] = []
        self.asked: list[bool] = []
        self.turns: list[Callable[[], None]] = []

    def may(self, turn: Callable[[], None], *, urgent: bool) -> bool:
        self.asked.append(urgent)
        if not self.open and turn not in self.turns:
            self.turns.append(turn)
        return self.open

    def spend(self, nbytes: int) -> None:
        self.spent.append(nbytes)

    def leave(self, turn: Callable[[], None]) -> None:
        if turn in self.turns:
            self.turns.remove(turn)

    def call(self) -> None:
        turns, self.turns = self.turns, []
        for turn in turns:
            turn()


class HandPace:
    def __init__(self) -> None:
        self.upload = HandGate()
        self.download = HandGate()


class Straight:
    """A relay that is a socket to the host itself."""

    def __init__(self, address: Address) -> None:
        self.address = address

    async def connect(self, protocol: asyncio.BufferedProtocol, peer_id: PeerId, where: Relayed) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: protocol, self.address.ip, self.address.port)


@asynccontextmanager
async def paced(pace: Pace, *names: str) -> AsyncIterator[list[Post]]:
    """Pools of which the first is limited."""
    pools = [Post(name) for name in names]
    pools[0].pace_by(pace)
    try:
        for pool in pools:
            pool.address = await pool.listen(LOOPBACK)
        yield pools
    finally:
        for pool in pools:
            await pool.close()


@LOOPS
def test_all_bytes_both_ways_are_counted(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        pace = HandPace()
        async with paced(pace, "a", "b") as [a, b]:
            link = await a.link_with(b)
            link.send(step(MEBIBYTE, number=1))
            await b.notes.until(lambda: b.notes.steps == [1])
            b.notes.messages[0][0].send(step(2 * MEBIBYTE, number=2))
            await a.notes.until(lambda: a.notes.steps == [2])
            assert MEBIBYTE < sum(pace.upload.spent) < 1.02 * MEBIBYTE
            assert 2 * MEBIBYTE < sum(pace.download.spent) < 2.04 * MEBIBYTE
            assert max(pace.upload.spent) <= pace.upload.quantum_bytes
            assert max(pace.download.spent) <= pace.download.quantum_bytes
            assert len(set(pace.upload.asked)) == 2, "a handshake is urgent, a mebibyte is not"

    run(body)


@LOOPS
def test_what_may_not_leave_waits_here_and_leaves_on_its_turn_urgent_first(
    run: Callable[[Body], None],
) -> None:
    async def body() -> None:
        pace = HandPace()
        async with paced(pace, "a", "b") as [a, b]:
            link = await a.link_with(b)
            pace.upload.open = False
            pace.upload.asked.clear()
            link.send(step(MEBIBYTE, number=1))
            assert pace.upload.asked == [False]
            link.send(small(2, OTHER_SESSION))
            assert pace.upload.asked == [False, True]
            assert link.pending_bytes > MEBIBYTE
            pace.upload.open = True
            pace.upload.asked.clear()
            pace.upload.call()
            assert pace.upload.asked[:2] == [True, False], "only what is urgent passes as such"
            await b.notes.until(lambda: b.notes.steps == [2, 1])

    run(body)


@LOOPS
def test_a_link_that_may_not_read_is_not_read_until_its_turn(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        pace = HandPace()
        async with paced(pace, "a", "b") as [a, b]:
            await a.link_with(b)
            await until(lambda: len(b.links) == 1)
            pace.download.open = False
            pace.download.spent.clear()
            b.links[a.peer_id].send(step(MEBIBYTE, number=1))
            await until(lambda: bool(pace.download.turns))
            transport = a.links[b.peer_id]._transport
            assert transport is not None
            assert not transport.is_reading()
            assert len(pace.download.spent) == 1
            pace.download.open = True
            pace.download.call()
            await a.notes.until(lambda: a.notes.steps == [1])

    run(body)


@LOOPS
def test_a_link_that_is_gone_waits_for_no_turn_and_a_goodbye_does_not_wait(
    run: Callable[[Body], None],
) -> None:
    async def body() -> None:
        pace = HandPace()
        async with paced(pace, "a", "b") as [a, b]:
            link = await a.link_with(b)
            pace.upload.open = pace.download.open = False
            link.send(step(MEBIBYTE, number=1))
            b.links[a.peer_id].send(small(1))
            await until(lambda: len(pace.upload.turns) == len(pace.download.turns) == 1)
            await link.close(Code.SHUTTING_DOWN, "enough")
            await b.notes.until(lambda: b.notes.codes == [Code.SHUTTING_DOWN])
            assert pace.upload.turns == pace.download.turns == []

    run(body)


async def test_the_kernel_reads_less_ahead_on_a_limited_link() -> None:
    pace = HandPace()
    async with paced(pace, "a", "b") as [a, b]:
        link = await a.link_with(b)
        assert link._transport is not None
        held = link._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # The kernel doubles it for its own use (socket(7)).
        assert held == 2 * pace.download.window_bytes


@LOOPS
def test_a_limit_that_comes_and_goes_holds_for_links_that_are_open(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        pace = HandPace()
        pace.upload.limited = pace.download.limited = False
        async with paced(pace, "a", "b") as [a, b]:
            link = await a.link_with(b)
            await until(lambda: len(b.links) == 1)
            assert link._transport is not None
            sock = link._transport.get_extra_info("socket")
            before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            link.send(step(MEBIBYTE, number=1))
            b.links[a.peer_id].send(step(MEBIBYTE, number=1))
            await b.notes.until(lambda: b.notes.steps == [1])
            await a.notes.until(lambda: a.notes.steps == [1])
            assert pace.upload.spent == pace.download.spent == []
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= before, "nothing was asked of it"
            pace.upload.limited = pace.download.limited = True
            pace.upload.open = False
            link.send(step(MEBIBYTE, number=2))
            link.send(small(3, OTHER_SESSION))
            assert pace.upload.asked[-1] is True, "what is urgent is known as such from the first message on"
            pace.upload.open = True
            pace.upload.call()
            await b.notes.until(lambda: b.notes.steps == [1, 3, 2])
            assert MEBIBYTE < sum(pace.upload.spent) < 1.02 * MEBIBYTE
            b.links[a.peer_id].send(step(MEBIBYTE, number=2))
            await a.notes.until(lambda: a.notes.steps == [1, 2])
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * pace.download.window_bytes
            # The first read after the change may have been begun before it.
            assert max(pace.download.spent[1:]) <= pace.download.quantum_bytes
            pace.upload.limited = pace.download.limited = False
            pace.download.window_bytes = 4 * MEBIBYTE
            asked = len(pace.upload.asked)
            link.send(step(MEBIBYTE, number=4))
            b.links[a.peer_id].send(step(MEBIBYTE, number=3))
            await b.notes.until(lambda: b.notes.steps[-1] == 4)
            await a.notes.until(lambda: a.notes.steps[-1] == 3)
            assert len(pace.upload.asked) == asked
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 2 * 128 * 1024

    run(body)


async def test_what_is_not_limited_is_not_asked_for() -> None:
    pace = HandPace()
    pace.upload.limited = pace.download.limited = False
    pace.upload.open = pace.download.open = False
    async with paced(pace, "a", "b") as [a, b]:
        link = await a.link_with(b)
        link.send(step(MEBIBYTE, number=1))
        await b.notes.until(lambda: b.notes.steps == [1])
        assert pace.upload.asked == pace.download.asked == []


async def test_a_carried_link_is_counted_by_the_one_to_its_relay() -> None:
    pace = HandPace()
    async with paced(pace, "a", "b") as [a, b]:
        a.carry_by(Straight(b.address))
        link = await a.link_to(b.peer_id, Relayed(Identity.from_seed(b"r" * 32).peer_id, b.address))
        link.send(small(1))
        await b.notes.until(lambda: b.notes.steps == [1])
        assert pace.upload.spent == pace.download.spent == []


@LOOPS
def test_two_links_share_a_rate_fairly_and_a_step_is_not_held_up(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        rate = 4.0 * MEBIBYTE
        async with paced(Pacer(upload_bytes_per_s=rate), "a", "b", "c", "d") as [a, b, c, d]:
            links = [await a.link_with(one) for one in (b, c)]
            quick = await a.link_with(d)
            began = time.monotonic()
            for number in range(8):
                for link in links:
                    link.send(step(MEBIBYTE // 2, number=number))
            waits: list[float] = []
            while links[0].pending_bytes and links[1].pending_bytes:
                sent = time.monotonic()
                quick.send(small(len(waits)))
                await d.notes.until(lambda: len(d.notes.messages) > len(waits))
                waits.append(time.monotonic() - sent)
                await asyncio.sleep(0.02)
            assert abs(links[0].pending_bytes - links[1].pending_bytes) < MEBIBYTE // 2
            await b.notes.until(lambda: len(b.notes.messages) == 8)
            await c.notes.until(lambda: len(c.notes.messages) == 8)
            took = time.monotonic() - began
            # A quarter of a second is saved up; a busy machine makes it later, never sooner.
            assert took > 8 * MEBIBYTE / rate - 0.3
            assert sorted(waits)[len(waits) // 2] < 0.1

    run(body)


@LOOPS
def test_what_arrives_comes_at_the_rate_that_was_given(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        rate = 4.0 * MEBIBYTE
        async with paced(Pacer(download_bytes_per_s=rate), "a", "b") as [a, b]:
            await a.link_with(b)
            await until(lambda: len(b.links) == 1)
            began = time.monotonic()
            for number in range(8):
                b.links[a.peer_id].send(step(MEBIBYTE // 2, number=number))
            await a.notes.until(lambda: len(a.notes.messages) == 8)
            took = time.monotonic() - began
            assert 4 * MEBIBYTE / rate - 0.3 < took < 4 * MEBIBYTE / rate + 5
            assert a.notes.steps == list(range(8))

    run(body)
