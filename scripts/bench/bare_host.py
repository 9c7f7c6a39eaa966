"""The least a hop can cost with these tools: bytes in, decrypted, over to another thread and back, encrypted, out.

No frames, no messages, no session, no tensors: what remains is the loop, the socket, AES-256-GCM and the thread.
`hop.py` measures this in the same run, beside its own figures. `Bare` is both ends of the exchange.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from queue import SimpleQueue
from typing import cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORD_BYTES = 65_536
ANSWER_BYTES = 2048
"""All that comes back of a longer message."""
_NONCE = bytes(12)
_TAG_BYTES = 16


class Bare(asyncio.BufferedProtocol, ABC):
    """Gathers sealed records of a fixed total, opens them, and gives the plaintext to `arrived`."""

    def __init__(self, size: int) -> None:
        self.aead = AESGCM(bytes(32))
        self._size = sealed_bytes(size)
        self._buffer = memoryview(bytearray(self._size))
        self._filled = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Open all records once the last has come."""
        self._filled += nbytes
        if self._filled < self._size:
            return
        self._filled = 0
        step = RECORD_BYTES + _TAG_BYTES
        self.arrived(
            [
                self.aead.decrypt(_NONCE, self._buffer[at : at + step], None)
                for at in range(0, self._size, step)
            ]
        )

    @abstractmethod
    def arrived(self, parts: list[bytes]) -> None:
        """All records of one exchange."""

    def send(self, parts: list[bytes]) -> None:
        """Seal and write."""
        if self._transport is not None:
            self._transport.write(b"".join([self.aead.encrypt(_NONCE, part, None) for part in parts]))


def sealed_bytes(size: int) -> int:
    """Bytes on the wire for `size` bytes of plaintext."""
    return size + _TAG_BYTES * -(-size // RECORD_BYTES)


class _Echo(Bare):
    """Sends the first record back, by way of a thread."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[list[bytes]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def arrived(self, parts: list[bytes]) -> None:
        self._work.put(parts)

    def _run(self) -> None:
        while True:
            parts = self._work.get()
            self._loop.call_soon_threadsafe(self.send, [parts[0][:ANSWER_BYTES]])


async def serve(size: int) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Echo(size), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
