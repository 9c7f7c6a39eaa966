"""What HTTP takes beside what it brings is known to the byte, and sockets of a limited host hold little."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
from aiohttp import web
from aiohttp.web_request import BaseRequest

from node.store import http_sizes
from tests.fakes.pace import HandLimit


async def test_heads_have_the_sizes_that_pass_on_the_wire() -> None:
    wire = bytearray()
    told: list[int] = []
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX-Odd:  spaces \r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer + b"12345")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/a%20b?c=d"
        async with session.get(url, headers={"X-More": "words"}) as response:
            told += http_sizes.of_exchange(response)
            assert await response.read() == b"12345"
    server.close()
    # Blanks around a value are no part of it any more.
    assert told == [len(answer) - 2, len(wire)]


async def test_a_request_that_came_is_counted_without_what_it_only_announces() -> None:
    told: list[int] = []

    async def handle(request: BaseRequest) -> web.StreamResponse:
        told.append(http_sizes.of_request(request))
        return web.Response()

    loop = asyncio.get_running_loop()
    listener = web.Server(handle)
    server = await loop.create_server(listener, "127.0.0.1", 0)
    head = b"GET /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(head)
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    server.close()
    await listener.shutdown(0.1)
    assert told == [len(head)]


def test_less_is_held_of_an_answer_while_there_is_a_limit() -> None:
    limit = HandLimit()
    assert http_sizes.read_buffer(limit, 1 << 20) == limit.window_bytes // 2
    limit.rate_bytes_per_s = None
    assert http_sizes.read_buffer(limit, 1 << 20) == 1 << 20


async def test_sockets_that_are_opened_under_a_limit_hold_little() -> None:
    limit = HandLimit()
    limit.window_bytes = 10_000
    held = []
    for rate in (100_000.0, None):
        limit.rate_bytes_per_s = rate
        made = http_sizes._sockets(limit)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)))
        with made:
            held.append(made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
    # The kernel doubles it for its own use (socket(7)).
    assert held[0] == 2 * limit.window_bytes
    assert held[1] != held[0]
    connector = http_sizes.connector(limit, limit=3)
    assert connector.limit == 3
    await connector.close()
