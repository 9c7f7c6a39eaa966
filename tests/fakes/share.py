"""A chunk server under test, and requests made by hand, so that wrong ones can be made too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crypto.identity import Identity
from node.store.share import ShareServer, ShareTerms
from node.store.share_auth import Gate, OpenGate
from tests.fakes.shelf import FakeShelf
from wire.types import Address

ME = Identity.from_seed(bytes(32)).peer_id
NOW = 1_800_000_000.0


@dataclass
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A server under test."""

    server: ShareServer
    shelf: FakeShelf
    address: Address
    open_writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.address.ip, self.address.port)
        self.open_writers.append(writer)
        return reader, writer

    async def send(self, raw: bytes) -> Answer:
        """Send raw bytes on a fresh connection and read one answer."""
        reader, writer = await self.connect()
        writer.write(raw)
        answer = await read_answer(reader)
        writer.close()
        return answer

    async def get(self, path: str, *headers: str) -> Answer:
        return await self.send(request("GET", path, *headers))

    async def post(self, body: bytes, *headers: str) -> Answer:
        return await self.send(request("POST", "/v1/chunks", f"Content-Length: {len(body)}", *headers) + body)


def request(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(head[0].split()[1]), headers, body)


@asynccontextmanager
async def serving(folder: Path, *, gate: Gate | None = None, **terms: Any) -> AsyncIterator[Served]:
    shelf = FakeShelf(folder / "shelf")
    server = ShareServer(
        shelf,
        me=ME,
        gate=gate or OpenGate(),
        terms=ShareTerms(**terms),
        now=lambda: NOW,
    )
    served = Served(server, shelf, await server.start(Address("127.0.0.1", 0)))
    try:
        yield served
    finally:
        for writer in served.open_writers:
            writer.close()
        await server.close(grace_s=0.05)
        for writer in served.open_writers:
            with suppress(OSError):
                await writer.wait_closed()
