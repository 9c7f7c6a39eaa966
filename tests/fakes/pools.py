"""Real links for tests: a pool that writes down what happens, and a peer that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from crypto.identity import Identity, PeerId
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.connection import Connection, ConnectionConfig
from wire.connection_table import State
from wire.messages.base import Message
from wire.messages.forward import Forward
from wire.types import Address

LOOPBACK = Address("127.0.0.1", 0)
DEADLINE_S = 20.0


class Notes:
    """What a pool reported, and a way to wait for more."""

    def __init__(self) -> None:
        self.messages: list[tuple[Link, Message]] = []
        self.closings: list[tuple[Link, Code, str]] = []
        self._news = asyncio.Event()

    def message(self, link: Link, message: Message) -> None:
        self.messages.append((link, message))
        self._news.set()

    def closing(self, link: Link, code: Code, detail: str) -> None:
        self.closings.append((link, code, detail))
        self._news.set()

    @property
    def steps(self) -> list[int]:
        return [message.step for _, message in self.messages if isinstance(message, Forward)]

    @property
    def codes(self) -> list[Code]:
        return [code for _, code, _ in self.closings]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on these notes holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something becomes true that nobody announces."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


class Post(LinkPool):
    """A pool that takes notes."""

    def __init__(
        self,
        name: str,
        *,
        network: str = "test",
        is_busy: Callable[[Link], bool] = lambda _: False,
        on_message: Callable[[Link, Message], None] | None = None,
    ) -> None:
        self.notes = Notes()
        self.identity = Identity.from_seed(name.encode().ljust(32, b"."))
        self.address = LOOPBACK
        super().__init__(
            self.identity,
            network,
            name,
            on_message=on_message or self.notes.message,
            on_closed=self.notes.closing,
            is_busy=is_busy,
        )

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    async def link_with(self, other: Post) -> Link:
        """Link to another listening pool."""
        return await self.link_to(other.peer_id, other.address)


@asynccontextmanager
async def posts(*names: str, network: str = "test") -> AsyncIterator[list[Post]]:
    """Listening pools, closed at the end."""
    opened = [Post(name, network=network) for name in names]
    try:
        for post in opened:
            post.address = await post.listen(LOOPBACK)
        yield opened
    finally:
        for post in opened:
            await post.close()


class RawPeer:
    """A connection driven by hand over a plain socket, free to stop at any point."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.connection = connection

    @classmethod
    async def dial(cls, address: Address, *, name: str = "raw", greet: bool = True) -> RawPeer:
        """Connect to a pool and, if asked to, shake hands."""
        reader, writer = await asyncio.open_connection(address.ip, address.port)
        connection = Connection(
            ConnectionConfig(
                initiator=True,
                identity=Identity.from_seed(name.encode().ljust(32, b".")),
                network="test",
                static_seed=secrets.token_bytes(32),
                ephemeral_seed=secrets.token_bytes(32),
            ),
            now=time.monotonic(),
        )
        peer = cls(reader, writer, connection)
        if not greet:
            return peer
        while connection.state is not State.ESTABLISHED:
            await peer.flush()
            connection.receive_data(await reader.read(1000), now=time.monotonic())
        await peer.flush()
        return peer

    async def flush(self) -> None:
        """Write all the connection has to send."""
        for buffer in self.connection.data_to_send():
            self.writer.write(buffer)
        await self.writer.drain()

    def sealed(self, message: Message) -> bytes:
        """The bytes that would carry a message."""
        self.connection.send(message, now=time.monotonic())
        return b"".join(bytes(buffer) for buffer in self.connection.data_to_send())

    async def hang_up(self) -> None:
        """Close the socket without a goodbye."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return  # The other side was faster.
