"""A server that answers every request with the same bytes, whatever HTTP says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from wire.types import Address


@asynccontextmanager
async def answering(
    answer: bytes, *, hold_open: bool = False, pause_s: float | None = None
) -> AsyncIterator[Address]:
    """Listen for as long as the block runs.

    Args:
        hold_open: says nothing more after the answer, instead of closing.
        pause_s: sends the answer byte by byte, with pauses.
    """
    ended = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                head, _, body = answer.partition(b"\r\n\r\n")
                if pause_s is None:
                    writer.write(answer)
                else:
                    writer.write(head + b"\r\n\r\n")
                    for byte in body:
                        writer.write(bytes([byte]))
                        await asyncio.sleep(pause_s)
                await writer.drain()
                if hold_open:
                    await ended.wait()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        ended.set()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
