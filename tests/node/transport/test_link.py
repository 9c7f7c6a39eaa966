"""One link over a real socket, with peers that misbehave in every way a socket allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
import uvloop

from node.transport.errors import LinkClosed
from node.transport.link import DRAINED_BYTES, TURN_EVENTS, Link
from node.transport.reading import READ_BUFFER_BYTES
from tests.fakes.joined import OTHER_SESSION, small, step
from tests.fakes.pools import Post, RawPeer, posts, until
from wire import limits
from wire.codes import Code
from wire.connection_table import State
from wire.errors import IllegalState, InvalidValue
from wire.messages.base import Message
from wire.messages.forward import Forward
from wire.messages.hosting import Describe

MEBIBYTE = 1024 * 1024
Body = Callable[[], Coroutine[Any, Any, None]]


def on_asyncio(body: Body) -> None:
    with asyncio.Runner(debug=True) as runner:
        runner.run(body())


def on_uvloop(body: Body) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


LOOPS = pytest.mark.parametrize("run", [on_asyncio, on_uvloop])


@LOOPS
def test_messages_of_every_size_arrive_both_ways_whole_and_in_order(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        async with posts("a", "b") as [a, b]:
            link = await a.link_with(b)
            sizes = [2, 2048, 65_536, MEBIBYTE, 64, 7 * MEBIBYTE, 2]
            for number, size in enumerate(sizes):
                link.send(step(size, number=number))
            await b.notes.until(lambda: len(b.notes.messages) == len(sizes))
            assert b.notes.steps == list(range(len(sizes)))
            back = b.notes.messages[0][0]
            for number, (_, message) in enumerate(b.notes.messages):
                assert isinstance(message, Forward)
                assert message.body == step(sizes[number]).body
                back.send(message)
            await a.notes.until(lambda: len(a.notes.messages) == len(sizes))
            assert a.notes.steps == list(range(len(sizes)))
            assert (link.peer_id, back.peer_id) == (b.peer_id, a.peer_id)
            assert (link.inbound, back.inbound) == (False, True)
            assert link.round_trip_s > 0

    run(body)


@LOOPS
def test_a_send_from_a_callback_is_answered_from_a_callback(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        def echo(link: Link, message: Message) -> None:
            link.send(message)

        echoing = Post("echo", on_message=echo)
        echoing.address = await echoing.listen(echoing.address)
        async with posts("a") as [a]:
            link = await a.link_with(echoing)
            for number in range(100):
                link.send(small(number))
                # A default binds the loop's value.
                await a.notes.until(lambda expected=number + 1: len(a.notes.messages) == expected)  # type: ignore[misc]
            assert a.notes.steps == list(range(100))
            await echoing.close()

    run(body)


async def test_what_answers_a_batch_of_messages_leaves_in_few_writes() -> None:
    def echo(link: Link, message: Message) -> None:
        link.send(message)

    echoing = Post("echo", on_message=echo)
    echoing.address = await echoing.listen(echoing.address)
    async with posts("a") as [a]:
        link = await a.link_with(echoing)
        (answering,) = echoing.links.values()
        transport = cast("asyncio.Transport", answering._transport)
        writes: list[int] = []

        class Counting:
            """The transport, with its writes counted."""

            def __getattr__(self, name: str) -> object:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                writes.append(len(data))
                transport.write(data)

        answering._transport = cast("asyncio.Transport", Counting())
        # Queued together, so that they come in one read.
        link._answering = True
        for number in range(64):
            link.send(small(number))
        link._answering = False
        link._pump()
        await a.notes.until(lambda: len(a.notes.messages) == 64)
        assert a.notes.steps == list(range(64))
        assert len(writes) < 16
        answering._transport = transport
        await echoing.close()


@LOOPS
def test_a_crowd_of_messages_leaves_others_their_turn(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        crowd = 20_000
        turns = [0]

        async def beat() -> None:
            while True:
                turns.append(0)
                await asyncio.sleep(0)

        def count(link: Link, message: Message) -> None:
            turns[-1] += 1

        crowded = Post("crowded", on_message=count)
        crowded.address = await crowded.listen(crowded.address)
        async with posts("a") as [a]:
            link = await a.link_with(crowded)
            (reading,) = crowded.links.values()
            beating = asyncio.create_task(beat())
            for _ in range(crowd):
                link._connection.send(Describe(), now=time.monotonic())
            link._pump()
            most = 0
            async with asyncio.timeout(20):
                while sum(turns) < crowd:
                    most = max(most, len(reading._inbox))
                    await asyncio.sleep(0)
            assert max(turns) <= TURN_EVENTS
            # What one read holds, at the most: nothing is read beside it.
            assert TURN_EVENTS < most < READ_BUFFER_BYTES / 10
            beating.cancel()
            link.send(small(1))
            await until(lambda: sum(turns) == crowd + 1)
        await crowded.close()

    run(body)


async def test_the_socket_is_gone_after_all_that_was_read_from_it() -> None:
    told: list[str] = []
    crowded = Post("crowded", on_message=lambda link, message: told.append("message"))
    crowded.address = await crowded.listen(crowded.address)
    async with posts("a") as [a]:
        link = await a.link_with(crowded)
        (reading,) = crowded.links.values()
        callbacks = reading._callbacks

        def gone(link: Link) -> None:
            told.append("gone")
            callbacks.on_disconnected(link)

        reading._callbacks = replace(callbacks, on_disconnected=gone)
        for _ in range(3 * TURN_EVENTS):
            link._connection.send(Describe(), now=time.monotonic())
        link._pump()
        await until(lambda: "message" in told)
        reading.abort()
        await until(lambda: "gone" in told)
        assert told == ["message"] * (3 * TURN_EVENTS) + ["gone"]
    await crowded.close()


async def test_a_decode_step_overtakes_prefill_that_is_queued() -> None:
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        for number in range(3):
            link.send(step(7 * MEBIBYTE, number=number))
        link.send(small(99, OTHER_SESSION))
        await b.notes.until(lambda: len(b.notes.messages) == 4)
        assert b.notes.steps[0] == 99


async def test_what_cannot_be_sent_is_an_error_of_ours_and_harmless() -> None:
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        with pytest.raises(InvalidValue):
            link.send(step(limits.MAX_MESSAGE_BYTES))
        link.send(small(1))
        await b.notes.until(lambda: b.notes.steps == [1])
        await link.close(Code.SHUTTING_DOWN, "done")
        assert link.closed.is_set()
        with pytest.raises(LinkClosed, match="done"):
            link.send(small())
        with pytest.raises(LinkClosed):
            await link.drain()
        await b.notes.until(lambda: b.notes.codes == [Code.SHUTTING_DOWN])
        assert b.notes.closings[0][2] == "done"


@LOOPS
def test_an_exception_in_a_callback_is_reported_and_the_link_goes_on(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def fragile(link: Link, message: Message) -> None:
            fragile_pool.notes.message(link, message)
            if isinstance(message, Forward) and message.step % 2:
                raise ZeroDivisionError("a bug above")

        fragile_pool = Post("fragile", on_message=fragile)
        fragile_pool.address = await fragile_pool.listen(fragile_pool.address)
        async with posts("a") as [a]:
            link = await a.link_with(fragile_pool)
            for number in range(6):
                link.send(small(number))
            await fragile_pool.notes.until(lambda: len(fragile_pool.notes.messages) == 6)
            assert fragile_pool.notes.steps == list(range(6))
            await until(lambda: len(reported) == 3)
            assert all(isinstance(context["exception"], ZeroDivisionError) for context in reported)
            assert link.state is State.ESTABLISHED
            await fragile_pool.close()

    run(body)


async def test_a_peer_that_closes_in_the_middle_of_a_message() -> None:
    async with posts("a") as [a]:
        peer = await RawPeer.dial(a.address)
        peer.writer.write(peer.sealed(step(MEBIBYTE))[: MEBIBYTE // 2])
        await peer.writer.drain()
        await peer.hang_up()
        await a.notes.until(lambda: a.notes.codes == [Code.CONNECTION_LOST])
        assert a.notes.messages == []


async def test_a_peer_whose_records_were_altered() -> None:
    async with posts("a") as [a]:
        peer = await RawPeer.dial(a.address)
        data = bytearray(peer.sealed(small()))
        data[20] ^= 1
        peer.writer.write(data)
        await a.notes.until(lambda: a.notes.codes == [Code.BAD_FRAME])
        assert await peer.reader.read() != b""
        await peer.hang_up()


async def test_a_speaker_of_garbage_is_hung_up_on_and_leaves_nothing() -> None:
    async with posts("a") as [a]:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x20" + bytes(32), b"\x16\x03\x01" * 50):
            peer = await RawPeer.dial(a.address, greet=False)
            peer.writer.write(data)
            with suppress(ConnectionResetError):
                assert await peer.reader.read() == b""
            await peer.hang_up()
        await until(lambda: not a._sockets)
        assert a.notes.closings == []
        assert a._doorkeeper.handshakes == 0


@LOOPS
def test_a_peer_that_never_reads_costs_a_bounded_queue_and_then_the_link(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        async with posts("a") as [a]:
            peer = await RawPeer.dial(a.address, name="deaf")
            await until(lambda: len(a.links) == 1)
            [link] = a.links.values()
            sent = 0
            most = 0
            while link.state is State.ESTABLISHED:
                link.send(step(MEBIBYTE, number=sent))
                most = max(most, link.pending_bytes)
                sent += 1
                await asyncio.sleep(0)
            assert most <= limits.SEND_QUEUE_BYTES + 2 * MEBIBYTE
            await a.notes.until(lambda: a.notes.codes == [Code.TIMEOUT])
            async with asyncio.timeout(5):
                await link.closed.wait()
            await peer.hang_up()

    run(body)


async def test_drain_waits_for_a_slow_reader_and_ends_with_the_link() -> None:
    async with posts("a") as [a]:
        peer = await RawPeer.dial(a.address, name="slow")
        await until(lambda: len(a.links) == 1)
        [link] = a.links.values()
        for number in range(10):
            link.send(step(MEBIBYTE, number=number))
        draining = asyncio.ensure_future(link.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        while not draining.done():
            assert await peer.reader.read(MEBIBYTE)
            await asyncio.sleep(0)
        assert link.pending_bytes <= DRAINED_BYTES
        for number in range(10):
            link.send(step(MEBIBYTE, number=number))
        draining = asyncio.ensure_future(link.drain())
        await asyncio.sleep(0)
        await peer.hang_up()
        with pytest.raises(LinkClosed):
            await draining


@LOOPS
def test_a_peer_that_stops_answering_is_found_out(
    run: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PING_INTERVAL_S", 0.05)
    monkeypatch.setattr(limits, "ACK_TIMEOUT_S", 0.2)

    async def body() -> None:
        async with posts("a") as [a]:
            peer = await RawPeer.dial(a.address, name="frozen")
            await a.notes.until(lambda: a.notes.codes == [Code.TIMEOUT])
            await peer.hang_up()

    run(body)


async def test_two_idle_links_keep_each_other_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PING_INTERVAL_S", 0.01)
    monkeypatch.setattr(limits, "ACK_TIMEOUT_S", 5.0)
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        await until(lambda: link._connection._liveness._next_nonce > 5)
        assert link.state is State.ESTABLISHED


async def test_a_goodbye_to_a_peer_that_does_not_read_takes_no_longer_than_its_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "GOODBYE_GRACE_S", 0.1)
    async with posts("a") as [a]:
        peer = await RawPeer.dial(a.address, name="deaf")
        await until(lambda: len(a.links) == 1)
        [link] = a.links.values()
        for number in range(200):
            link.send(step(60_000, number=number))
        async with asyncio.timeout(5):
            await link.close(Code.SHUTTING_DOWN)
        await peer.hang_up()


async def test_a_link_that_is_not_established_has_no_peer() -> None:
    async with posts("a") as [a]:
        link = a._accept()
        assert not link.established
        with pytest.raises(IllegalState):
            _ = link.peer
        with pytest.raises(IllegalState):
            _ = link.remote
        link.abort()
