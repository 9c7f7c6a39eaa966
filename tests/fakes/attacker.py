"""A peer that keeps no rule: it shakes hands as it likes, then seals whatever bytes a test wants said.

Made of the protocol's own parts, so that what it says is understood; it never pings, acknowledges or answers by itself.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from crypto.identity import Identity, PeerId
from crypto.noise.handshake import TransportKeys
from wire import codec
from wire.codes import Code
from wire.connection import ConnectionConfig
from wire.frames import LENGTH_BYTES, MAX_FRAGMENT_BYTES, Assembler, Lane, RecordCutter, message_head
from wire.handshake import Introduction, Peer
from wire.messages.base import Message
from wire.messages.link import Goodbye
from wire.types import Address

PATIENCE_S: Final = 20.0
"""How long an answer may take on a machine that is busy with other things."""
_READ_BYTES: Final = 1 << 16
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class End:
    """How a peer ended the stream."""

    goodbye: Goodbye | None

    @property
    def code(self) -> Code | None:
        """The reason it gave, if it gave one."""
        return Code(self.goodbye.code) if self.goodbye is not None else None


class Attacker:
    """One TCP connection to a host, and what was heard on it."""

    def __init__(self, sock: socket.socket, identity: Identity) -> None:
        """Use `connect`."""
        self.sock = sock
        self.identity = identity
        self.heard: list[Message] = []
        """Messages that no `receive` has taken."""
        self._keys: TransportKeys | None = None
        self._cutter = RecordCutter()
        self._lanes = tuple(Assembler() for _ in Lane)
        self._ended = False

    @classmethod
    async def connect(
        cls, address: Address, *, identity: Identity | None = None, source: str = "127.0.0.1"
    ) -> Attacker:
        """Open a connection, from any loopback address, and say nothing yet."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address.ip, address.port))
        return cls(sock, identity or Identity.from_seed(secrets.token_bytes(32)))

    @classmethod
    async def linked(cls, address: Address, **options: Any) -> Attacker:
        """Open a connection and shake hands as an honest peer does."""
        attacker = await cls.connect(address, **options)
        await attacker.shake_hands()
        return attacker

    @property
    def peer_id(self) -> PeerId:
        """Who it says, and proves, to be."""
        return self.identity.peer_id

    def config(self, *, network: str = "main", expected_peer: PeerId | None = None) -> ConnectionConfig:
        """A dialler's configuration."""
        return ConnectionConfig(
            initiator=True,
            identity=self.identity,
            network=network,
            static_seed=secrets.token_bytes(32),
            ephemeral_seed=secrets.token_bytes(32),
            expected_peer=expected_peer,
            agent="attacker",
        )

    async def shake_hands(self, config: ConnectionConfig | None = None) -> Peer:
        """Be a peer; returns whom it reached. Raises `PeerRefused` as an honest dialler would."""
        introduction = Introduction(config or self.config())
        await self.send_bytes(framed(introduction.first()))
        answer, peer = introduction.receive(await self.next_record())
        assert answer is not None
        assert peer is not None
        await self.send_bytes(framed(answer))
        self._keys = introduction.keys()
        return peer

    async def next_record(self) -> bytes:
        """The next record of the stream, as it is."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                data = await self._read()
                assert data, "the host hung up"
                for record in self._cutter.feed(data):
                    return bytes(record)

    async def send_bytes(self, data: bytes) -> None:
        """Write to the socket. Raises `ConnectionError` once the host has hung up."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send_stream(self, plaintext: bytes, lane: int = Lane.URGENT) -> None:
        """Seal these bytes as the next of a lane's stream, in as many records as they need."""
        parts = range(0, len(plaintext), MAX_FRAGMENT_BYTES)
        await self.send_bytes(
            b"".join(self.seal(bytes((lane,)) + plaintext[at : at + MAX_FRAGMENT_BYTES]) for at in parts)
        )

    async def send_header(self, header: bytes, body: bytes = b"") -> None:
        """Send a well-framed message whose CBOR header is whatever these bytes are."""
        await self.send_stream(message_head(header, len(body)) + body)

    async def send(self, *messages: Message) -> None:
        """Send messages, bulk ones too, in the urgent lane."""
        await self.send_stream(b"".join(stream(messages)))

    def seal(self, plaintext: bytes) -> bytes:
        """One record of this plaintext, lane byte included."""
        assert self._keys is not None, "no handshake yet"
        return framed(self._keys.send.encrypt(b"", plaintext))

    async def receive(self, *kinds: type[M]) -> M:
        """Wait for the next message of one of these kinds; others are kept in `heard`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in self.heard:
                    if isinstance(message, kinds):
                        self.heard.remove(message)
                        return message
                assert not self._ended, f"the host hung up before {kinds}; it said {self.heard}"
                await self._hear()

    async def ending(self) -> End:
        """Wait until the host hangs up; returns how."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._ended:
                await self._hear()
        goodbyes = [one for one in self.heard if isinstance(one, Goodbye)]
        return End(goodbyes[0] if goodbyes else None)

    def close(self) -> None:
        """Close the socket in the ordinary way."""
        self.sock.close()

    def reset(self) -> None:
        """Close the socket by a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def _hear(self) -> None:
        data = await self._read()
        if not data:
            self._ended = True
            return
        for record in self._cutter.feed(data):
            assert self._keys is not None
            plaintext = memoryview(self._keys.receive.decrypt(b"", record))
            frames = self._lanes[plaintext[0]].feed(plaintext[1:])
            self.heard += [codec.decode(header, body) for header, body in frames]

    async def _read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self.sock, _READ_BYTES)
        except ConnectionResetError:
            return b""


def framed(message: bytes) -> bytes:
    """A Noise message with its length before it."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def stream(messages: Iterable[Message]) -> list[bytes]:
    """Messages as the bytes of a lane."""
    parts: list[bytes] = []
    for message in messages:
        header, body = codec.encode(message)
        parts += [message_head(header, len(body)), bytes(body)]
    return parts
