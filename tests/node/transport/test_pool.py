"""Many links of one process: reuse, crossing dials, caps, idleness, and the end of it all."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
import uvloop

from crypto.identity import Identity
from node.transport.errors import AddressInUse, DialRefused, PeerHungUp, PoolClosed, TooManyLinks
from node.transport.link import Link
from tests.fakes.joined import small, step
from tests.fakes.pools import LOOPBACK, Post, RawPeer, posts, until
from wire import limits
from wire.codes import Code
from wire.connection_table import State
from wire.types import Address


async def test_a_second_request_returns_the_same_link() -> None:
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        assert await a.link_with(b) is link
        assert await a.link_to(None, b.address) is link
        assert dict(a.links) == {b.peer_id: link}


async def test_requests_at_the_same_time_share_one_dial() -> None:
    async with posts("a", "b") as [a, b]:
        links = await asyncio.gather(*(a.link_with(b) for _ in range(20)))
        assert len(set(links)) == 1
        assert len(b.links) == 1


async def test_a_link_the_peer_opened_is_used_in_the_other_direction() -> None:
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        link.send(small())
        await b.notes.until(lambda: len(b.notes.messages) == 1)
        assert (await b.link_with(a)).inbound
        assert len(b.links) == 1


async def test_a_peer_that_does_not_listen_is_not_reached_over_its_own_link() -> None:
    async with posts("b") as [b]:
        chat = Post("person")
        await chat.link_with(b)
        await until(lambda: len(b.links) == 1)
        with pytest.raises(DialRefused):
            await b.link_to(chat.peer_id, Address("127.0.0.1", 1))
        assert b.links[chat.peer_id].inbound
        await chat.close()


async def test_two_processes_of_one_identity_each_keep_their_link() -> None:
    async with posts("host", "person") as [host, node]:
        chat = Post("person")
        await node.link_with(host)
        link = await chat.link_with(host)
        link.send(small(1))
        await host.notes.until(lambda: host.notes.steps == [1])
        assert len(host._registry.all()) == 2
        assert not any(one.retired for one in host._registry.all())
        assert (await host.link_with(node)).peer.static_key != host.notes.messages[0][0].peer.static_key
        await chat.close()


async def crossing(rounds: int) -> None:
    """Dial each other at once, again and again; no message may be lost, and one link must remain."""
    for number in range(rounds):
        async with posts(f"a{number}", f"b{number}") as [a, b]:
            first, second = await asyncio.gather(a.link_with(b), b.link_with(a))
            for step in range(5):
                first.send(small(step))
                second.send(small(step))
            # A default binds the loop's value.
            await a.notes.until(lambda a=a: a.notes.steps == list(range(5)))  # type: ignore[misc]
            await b.notes.until(lambda b=b: b.notes.steps == list(range(5)))  # type: ignore[misc]
            # A default binds the loop's value.
            await until(lambda a=a, b=b: len(a._registry.all()) == len(b._registry.all()) == 1)  # type: ignore[misc]
            assert a.links[b.peer_id].inbound != b.links[a.peer_id].inbound
            assert set(a.notes.codes + b.notes.codes) <= {Code.DUPLICATE_LINK}
            if a.notes.codes or b.notes.codes:
                assert b.links[a.peer_id].inbound == (a.peer_id < b.peer_id)


async def test_crossing_dials_leave_one_link_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DUPLICATE_GRACE_S", 0.05)
    await crossing(8)


def test_crossing_dials_leave_one_link_on_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DUPLICATE_GRACE_S", 0.05)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crossing(8))


async def test_a_cancelled_request_does_not_take_the_others_down() -> None:
    async with posts("a", "b") as [a, b]:
        first = asyncio.ensure_future(a.link_with(b))
        others = [asyncio.ensure_future(a.link_with(b)) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        links = await asyncio.gather(*others)
        assert len(set(links)) == 1
        assert links[0].state is State.ESTABLISHED
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_one_failed_dial_answers_all_who_wait_for_it() -> None:
    a = Post("a")
    nowhere = Address("127.0.0.1", 1)
    stranger = Identity.from_seed(b"z" * 32).peer_id
    results = await asyncio.gather(*(a.link_to(stranger, nowhere) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, DialRefused) for result in results)
    await a.close()


async def test_a_request_for_another_address_gets_its_own_try() -> None:
    async with posts("a", "b") as [a, b]:
        failing = asyncio.ensure_future(a.link_to(b.peer_id, Address("127.0.0.1", 1)))
        await asyncio.sleep(0)
        assert (await a.link_with(b)).state is State.ESTABLISHED
        with pytest.raises(DialRefused):
            await failing


async def test_a_port_in_use_is_said_with_its_address() -> None:
    async with posts("a") as [a]:
        b = Post("b")
        with pytest.raises(AddressInUse, match=str(a.address)):
            await b.listen(a.address)
        await b.close()


async def test_a_full_process_says_so_to_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    async with posts("host", "first", "second") as [host, first, second]:
        await first.link_with(host)
        await until(lambda: len(host.links) == 1)
        monkeypatch.setattr(limits, "MAX_LINKS", 1)
        with pytest.raises(TooManyLinks):
            await host.link_with(second)
        # Whether the goodbye comes before or after the dial is over is up to the sockets.
        with suppress(PeerHungUp):
            await second.link_with(host)
            await second.notes.until(lambda: second.notes.codes == [Code.TOO_MANY_LINKS])
        await until(lambda: len(host._sockets) == 1)
        assert list(host.links) == [first.peer_id]
        assert host.notes.codes == []


async def test_links_from_one_address_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LINKS_PER_ADDRESS", 2)
    async with posts("host", "one", "two", "three") as [host, one, two, three]:
        await one.link_with(host)
        await two.link_with(host)
        with pytest.raises(PeerHungUp):
            await three.link_with(host)
        await one.close()
        await until(lambda: host._doorkeeper._by_ip["127.0.0.1"] == 1)
        await three.link_with(host)


async def test_handshakes_under_way_are_bounded_and_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 1)
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_S", 0.1)
    async with posts("host", "late") as [host, late]:
        idler = await RawPeer.dial(host.address, greet=False)
        await until(lambda: host._doorkeeper.handshakes == 1)
        with pytest.raises(PeerHungUp):
            await late.link_with(host)
        assert await idler.reader.read() == b""
        await until(lambda: host._doorkeeper.handshakes == 0)
        await late.link_with(host)
        await idler.hang_up()


async def test_an_idle_link_is_closed_unless_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_LINK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(limits, "DUPLICATE_GRACE_S", 0.02)
    needed = True

    def is_busy(link: Link) -> bool:
        return needed

    async with posts("b") as [b]:
        monkeypatch.setattr(b, "_is_busy", lambda _: True)
        a = Post("a", is_busy=is_busy)
        link = await a.link_with(b)
        opened = link.last_used
        await until(lambda: asyncio.get_running_loop().time() > opened + 0.2)
        assert link.state is State.ESTABLISHED
        needed = False
        await b.notes.until(lambda: b.notes.codes == [Code.IDLE])
        assert len(a.links) == 0
        assert a.notes.codes == [Code.IDLE]
        await a.close()


async def test_closing_says_goodbye_to_all_and_takes_no_more() -> None:
    async with posts("a", "b", "c") as [a, b, c]:
        await a.link_with(b)
        await c.link_with(a)
        await until(lambda: len(a.links) == 2)
        links = list(a.links.values())
        await a.close(Code.SHUTTING_DOWN, "until tomorrow")
        assert all(link.closed.is_set() for link in links)
        assert len(a.links) == 0
        for other in (b, c):
            # A default binds the loop's value.
            await other.notes.until(lambda other=other: other.notes.codes == [Code.SHUTTING_DOWN])  # type: ignore[misc]
            assert other.notes.closings[0][2] == "until tomorrow"
        with pytest.raises(PoolClosed):
            await a.link_with(b)
        with pytest.raises(PoolClosed):
            await a.listen(LOOPBACK)
        with pytest.raises(DialRefused):
            await b.link_with(a)


async def test_closing_ends_dials_that_are_under_way() -> None:
    async with posts("host") as [host]:
        a = Post("a")
        dialling = asyncio.ensure_future(a.link_with(host))
        await asyncio.sleep(0)
        await a.close()
        with pytest.raises(PoolClosed):
            await dialling


async def test_a_peer_that_restarts_is_linked_anew() -> None:
    async with posts("a", "b") as [a, b]:
        old = await a.link_with(b)
        address = b.address
        await b.close()
        await a.notes.until(lambda: a.notes.codes == [Code.SHUTTING_DOWN])
        again = Post("b")
        again.address = await again.listen(address)
        new = await a.link_with(again)
        assert new is not old
        assert new.peer_id == old.peer_id
        await again.close()


async def test_bytes_are_counted_as_they_pass_those_of_ended_links_too() -> None:
    async with posts("a", "b") as [a, b]:
        link = await a.link_with(b)
        link.send(step(100_000))
        await b.notes.until(lambda: len(b.notes.messages) == 1)
        assert 100_000 < a.moved.sent < 102_000
        assert b.moved.received > 100_000
        before = a.moved
        await link.close(Code.IDLE)
        await until(lambda: not a._sockets and not b._sockets)
        assert a.moved.sent > before.sent
        assert (a.moved.sent, a.moved.received) == (b.moved.received, b.moved.sent)
        relayed = b.accept_carried(a.peer_id, LOOPBACK)
        relayed.sent_bytes = relayed.received_bytes = 5
        b._sockets.add(relayed)
        assert b.moved.received == a.moved.sent
        b._sockets.remove(relayed)
