"""Each way a dial can fail has an error of its own, which says what to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from crypto.identity import Identity
from node.transport.dial import explain
from node.transport.errors import (
    DialError,
    DialRefused,
    DialTimedOut,
    HandshakeRefused,
    LinkClosed,
    PeerHungUp,
    WrongPeer,
)
from tests.fakes.pools import Post, posts, until
from wire import limits
from wire.codes import Code
from wire.types import Address

STRANGER = Identity.from_seed(b"z" * 32).peer_id
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def something_else(talk: Talk) -> AsyncIterator[Address]:
    """A server that is not a node."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.gather(*handlers)


async def failure(address: Address, kind: type[DialError], *, network: str = "test") -> DialError:
    """Dial and return the error, having checked that nothing is left behind."""
    pool = Post("dialler", network=network)
    try:
        with pytest.raises(kind) as raised:
            await pool.link_to(None, address)
        assert raised.value.address == address
        assert str(address) in raised.value.cause
        await until(lambda: not pool._sockets)
        assert pool.notes.closings == []
        return raised.value
    finally:
        await pool.close()


async def test_nothing_listens_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(Address("127.0.0.1", port), DialRefused)
    assert "running" in error.next_step


async def test_a_listener_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIAL_TIMEOUT_S", 0.1)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with something_else(silence) as address:
        await failure(address, DialTimedOut)


async def test_a_listener_that_hangs_up() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(34)

    async with something_else(hang_up) as address:
        await failure(address, PeerHungUp)


async def test_a_listener_that_speaks_something_else() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with something_else(web) as address:
        error = await failure(address, HandshakeRefused)
    assert "network" in error.next_step


async def test_a_node_of_another_network() -> None:
    async with posts("node") as [node]:
        await failure(node.address, HandshakeRefused, network="elsewhere")


async def test_another_peer_than_was_meant() -> None:
    async with posts("node", "dialler") as [node, dialler]:
        with pytest.raises(WrongPeer, match="meant") as raised:
            await dialler.link_to(STRANGER, node.address)
        assert raised.value.peer_id == STRANGER
        assert node.notes.closings == []


async def test_our_own_address() -> None:
    async with posts("node") as [node]:
        with pytest.raises(WrongPeer, match="this very process"):
            await node.link_to(None, node.address)


async def test_a_cancelled_dial_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(34)
        arrived.set()
        with suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with something_else(silence) as address:
        pool = Post("dialler")
        dialling = asyncio.ensure_future(pool.link_to(None, address))
        await arrived.wait()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        async with asyncio.timeout(5):
            await gone.wait()
        await pool.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.WRONG_PEER, WrongPeer),
        (Code.CONNECTION_LOST, PeerHungUp),
        (Code.TOO_MANY_LINKS, PeerHungUp),
        (Code.TIMEOUT, DialTimedOut),
        (Code.VERSION, HandshakeRefused),
        (Code.BAD_FRAME, HandshakeRefused),
    ],
)
def test_every_way_a_link_ends_has_a_diallers_word(code: Code, kind: type[DialError]) -> None:
    address = Address("127.0.0.1", 1)
    assert type(explain(address, None, LinkClosed(address, code, "words", by_peer=True))) is kind
