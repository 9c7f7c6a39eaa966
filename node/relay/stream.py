"""One circuit as an asyncio transport, so that a link runs on it as on a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from node.errors import NodeError
from node.relay.line import Line
from wire import limits
from wire.circuit import Flow
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.relay import RelayClose, RelayCredit, RelayData

HIGH_BYTES: Final = 128 * 1024
"""The protocol is asked to pause above this, unless it says otherwise."""
LOW_BYTES: Final = 32 * 1024


class CircuitStream(asyncio.Transport):
    """The transport of one circuit's end.

    What comes while the protocol reads nothing is kept here, without credit for more.
    """

    def __init__(
        self,
        line: Line,
        circuit: bytes,
        protocol: asyncio.BufferedProtocol,
        *,
        on_over: Callable[[CircuitStream], None],
    ) -> None:
        super().__init__({"peername": (line.remote.ip, line.remote.port)})
        self.line = line
        self.circuit = circuit
        self._protocol: asyncio.BaseProtocol = protocol
        self._buffered = protocol
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._flow = Flow()
        self._high, self._low = HIGH_BYTES, LOW_BYTES
        self._kept: deque[bytes | bytearray | memoryview] = deque()
        self._kept_bytes = 0
        self._reads = True
        self._paused = False
        self._closing = False
        self._over = False

    def start(self) -> None:
        """Tell the protocol that it is connected."""
        self._buffered.connection_made(self)

    # What the relay says.

    def on_data(self, body: bytes | bytearray | memoryview) -> None:
        """Bytes of the other end, which must not change any more."""
        if self._over:
            return
        self._kept.append(body)
        self._kept_bytes += len(body)
        if self._kept_bytes > limits.RELAY_WINDOW_BYTES:
            self._finish(Code.PROTOCOL, ConnectionResetError("the relay sent more than it may"))
        self._read()

    def _read(self) -> None:
        while self._reads and self._kept and not self._over:
            body = self._kept.popleft()
            self._kept_bytes -= len(body)
            self._take(body)

    def _take(self, body: bytes | bytearray | memoryview) -> None:
        try:
            told = self._flow.on_data(len(body))
        except BadMessage:
            self._finish(Code.PROTOCOL, ConnectionResetError("the relay sent more than it may"))
            return
        view = memoryview(body)
        while view and not self._over:
            space = memoryview(self._buffered.get_buffer(len(view)))
            count = min(len(space), len(view))
            space[:count] = view[:count]
            view = view[count:]
            self._buffered.buffer_updated(count)
        if told and not self._over:
            self._send(RelayCredit(circuit=self.circuit, taken=told))

    def on_credit(self, taken: int) -> None:
        """The other end has taken bytes."""
        try:
            self._flow.on_credit(taken)
        except BadMessage:
            self._finish(Code.PROTOCOL, ConnectionResetError("the relay gave more credit than it may"))
            return
        self._flush()

    def on_close(self) -> None:
        """The circuit is over: the other end hung up, or the relay ended it."""
        self._finish(None, None)

    # What the protocol asks.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes; they leave as the other end gives credit."""
        if self._closing or self._over:
            return
        self._flow.write(data)
        self._flush()
        if self._flow.pending_bytes > self._high and not self._paused:
            self._paused = True
            self._buffered.pause_writing()

    def close(self) -> None:
        """End once all that is queued has left."""
        self._closing = True
        self._flush()

    def abort(self) -> None:
        """End now."""
        self._finish(Code.CIRCUIT_CLOSED, None)

    def is_closing(self) -> bool:
        return self._closing or self._over

    def pause_reading(self) -> None:
        """Hand nothing on, and give no credit, until `resume_reading`."""
        self._reads = False

    def resume_reading(self) -> None:
        """Hand on what was kept, and what comes."""
        self._reads = True
        self._read()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return self._flow.pending_bytes

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def _flush(self) -> None:
        if self._over:
            return
        for piece in self._flow.pieces():
            if not self._send(RelayData(circuit=self.circuit, body=piece)):
                return
        if self._paused and self._flow.pending_bytes <= self._low:
            self._paused = False
            self._buffered.resume_writing()
        if self._closing and not self._flow.pending_bytes:
            self._finish(Code.CIRCUIT_CLOSED, None)

    def _send(self, message: RelayData | RelayCredit) -> bool:
        try:
            self.line.send(message)
        except NodeError:
            self._finish(None, ConnectionResetError("the link to the relay is over"))
            return False
        return True

    def _finish(self, tell: Code | None, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        if tell is not None:
            try:
                self.line.send(RelayClose(circuit=self.circuit, code=tell, detail=""))
            except NodeError as gone:
                error = error or ConnectionResetError(str(gone))
        self._on_over(self)
        self._loop.call_soon(self._buffered.connection_lost, error)
