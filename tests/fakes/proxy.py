"""A TCP proxy on the loopback that keeps a copy of every byte: what somebody between two peers sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from wire.types import Address

_READ_BYTES = 1 << 16


class RecordingProxy:
    """Passes connections on to one address."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.address = Address("127.0.0.1", 0)
        """Where it listens."""
        self.streams: list[bytearray] = []
        """What was said in each direction of each connection: to the target first, then from it."""

    @property
    def connections(self) -> int:
        """Connections so far."""
        return len(self.streams) // 2

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        there, back = bytearray(), bytearray()
        self.streams += [there, back]
        target_reader, target_writer = await asyncio.open_connection(self.target.ip, self.target.port)
        await asyncio.gather(
            _carry(reader, target_writer, there),
            _carry(target_reader, writer, back),
        )


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copy: bytearray) -> None:
    try:
        with suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                copy += data
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def recording(target: Address) -> AsyncIterator[RecordingProxy]:
    """Listen, on a free port, for as long as the block runs."""
    proxy = RecordingProxy(target)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(proxy.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
