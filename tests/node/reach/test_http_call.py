"""One call to a web server that may do anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.reach import http_answer
from node.reach.errors import BadAnswer, NoAnswer
from node.reach.http_call import call
from node.reach.ssdp import Place

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[Place]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Place("127.0.0.1", listening.sockets[0].getsockname()[1], "/")
    finally:
        listening.close()
        await asyncio.gather(*tasks)


async def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"ask"
        for piece in (b"HTTP/1.1 200 OK\r\n", b"\r\nab", b"c"):
            writer.write(piece)
            await writer.drain()

    async with server(talk) as place:
        assert await call(place, b"ask") == (200, b"abc")


async def test_a_server_that_never_ends_costs_a_bounded_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()
        await reader.read()

    async with server(talk) as place:
        with pytest.raises(NoAnswer):
            await call(place, b"ask", timeout_s=0.05)


async def test_an_answer_without_end_is_cut_off() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 100 * http_answer.MAX_BYTES:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with server(talk) as place:
        with pytest.raises(BadAnswer):
            await call(place, b"ask")
    assert sent < 100 * http_answer.MAX_BYTES


async def test_nonsense_and_silence_are_named() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"ask"
        writer.write(b"nonsense")

    async with server(talk) as place:
        with pytest.raises(BadAnswer):
            await call(place, b"ask")
    with pytest.raises(NoAnswer):
        await call(Place("127.0.0.1", 1, "/"), b"ask")
