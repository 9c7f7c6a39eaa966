"""One client of the control socket, on the host's side: takes its lines, runs its requests, writes their answers.

Each request is a task, which ends in `_ended`, whatever it ends by; so there is one place that says how a request can
end, and a handler's defect costs that request alone. Answers are written at once. A client that reads too slowly
holds up those that tell their progress, and is dropped when it holds them up too long or too much is waiting for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from node.control import protocol
from node.control.codes import ErrorCode
from node.control.errors import BadRequest
from node.control.limits import (
    CLOSE_S,
    HALF_CLOSED_S,
    IDLE_S,
    MAX_ANSWER_BYTES,
    MAX_MALFORMED,
    MAX_REQUEST_BYTES,
    MAX_REQUESTS,
    MAX_UNREAD_BYTES,
    STALL_S,
)
from node.control.lines import LineSplitter
from node.control.protocol import Cancel, Request
from node.errors import NodeError

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 16 * 1024
_LINES_A_TURN: Final = 8
"""Lines that are taken before others have their turn on the event loop."""
_OF_LINES: Final = frozenset({ErrorCode.MALFORMED, ErrorCode.TOO_LONG, ErrorCode.OTHER_VERSION})
"""Codes of lines that an honest client does not send twice."""

AnyHandler = Callable[[Any, Callable[[Any], Awaitable[None]]], Awaitable[Any]]


class Connection:
    """What is between one client and the handlers."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handlers: Mapping[str, AnyHandler],
        *,
        stall_s: float = STALL_S,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._stall_s = stall_s
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._malformed = 0
        self._dropped = False
        self._ending = False

    async def run(self) -> None:
        """Serve the client until it goes, is dropped, or this is cancelled; then nothing of it is left."""
        try:
            await self._take_lines()
            if self._running and not self._dropped:
                await asyncio.wait(self._running.values(), timeout=HALF_CLOSED_S)
        except ConnectionError:
            # Whoever was there is gone, which is a way to leave.
            self._dropped = True
        finally:
            await self._end()

    async def refuse(self, code: ErrorCode, cause: str, next_step: str) -> None:
        """Say why there is no connection, and end it when the client has, or soon."""
        try:
            self._send(protocol.error(None, code, cause, next_step))
            self._writer.write_eof()
            # A socket that is closed with lines unread may take the answer with it.
            async with asyncio.timeout(HALF_CLOSED_S):
                while await self._reader.read(_CHUNK_BYTES):
                    pass
        except (OSError, TimeoutError):
            self._dropped = True
        finally:
            await self._end()

    async def _take_lines(self) -> None:
        splitter = LineSplitter(MAX_REQUEST_BYTES)
        while data := await self._read():
            for number, line in enumerate(splitter.feed(data), 1):
                self._take(line)
                if self._malformed > MAX_MALFORMED:
                    log.info("a control client sent %d lines that are no requests", self._malformed)
                    return
                if number % _LINES_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._drained()

    async def _read(self) -> bytes:
        """What the client sent; nothing when it is gone, or has been silent for too long with nothing under way."""
        while not self._dropped:
            try:
                async with asyncio.timeout(IDLE_S):
                    return await self._reader.read(_CHUNK_BYTES)
            except TimeoutError:
                if not self._running:
                    break
        return b""

    def _take(self, line: bytes | None) -> None:
        """Take one line of the client, None for one that was too long."""
        try:
            if line is None:
                raise BadRequest(
                    ErrorCode.TOO_LONG,
                    f"a line is longer than {MAX_REQUEST_BYTES} bytes",
                    "send a shorter one",
                )
            asked = protocol.read_request(line)
            if isinstance(asked, Cancel):
                if asked.id in self._running:
                    self._running[asked.id].cancel()
            else:
                self._start(asked)
        except BadRequest as bad:
            self._malformed += bad.code in _OF_LINES
            self._send(protocol.error(bad.id, bad.code, bad.cause, bad.next_step))

    def _start(self, asked: Request) -> None:
        """Begin a request. Raises `BadRequest` when it cannot be."""
        if asked.id in self._running:
            # With its id this answer would be taken for the end of the one that is under way.
            cause = f"a request with the id {asked.id} is under way"
            raise BadRequest(ErrorCode.TOO_MANY_REQUESTS, cause, "give each request an id of its own")
        if len(self._running) >= MAX_REQUESTS:
            cause = f"{MAX_REQUESTS} requests of this connection are under way"
            raise BadRequest(ErrorCode.TOO_MANY_REQUESTS, cause, "wait for an answer", id=asked.id)
        handler = self._handlers.get(asked.command.name)
        if handler is None:
            cause = f"this host does not offer {asked.command.name}"
            raise BadRequest(
                ErrorCode.UNSUPPORTED, cause, "see its version with `lamella-node ctl status`", id=asked.id
            )
        task = asyncio.create_task(self._handled(handler, asked), name=f"control {asked.command.name}")
        self._running[asked.id] = task
        task.add_done_callback(partial(self._ended, asked))

    async def _handled(self, handler: AnyHandler, asked: Request) -> Any:
        return await handler(asked.arguments, partial(self._tell, asked))

    async def _tell(self, asked: Request, record: Any) -> None:
        """Send a line of progress, and wait while the client does not read."""
        if not isinstance(record, asked.command.progress):
            raise TypeError(
                f"{asked.command.name} tells {asked.command.progress.__name__}, not {type(record)}"
            )
        line = protocol.progress(asked.id, record)
        if len(line) > MAX_ANSWER_BYTES:
            raise ValueError(f"a line of progress has {len(line)} bytes")
        self._send(line)
        try:
            await self._drained()
        except ConnectionError:
            # `run` learns of it too, and cancels this task where it next waits.
            self._drop()
        await asyncio.sleep(0)

    def _ended(self, asked: Request, task: asyncio.Task[Any]) -> None:
        """Answer a request whose handler has come to its end."""
        del self._running[asked.id]
        if task.cancelled():
            if self._ending:
                said = (ErrorCode.SHUTTING_DOWN, "the host ended the connection", "ask again when it runs")
            else:
                said = (ErrorCode.CANCELLED, f"{asked.command.name} was given up", asked.command.cancelled)
            self._send(protocol.error(asked.id, *said))
            return
        error = task.exception()
        if error is None:
            self._send(_result(asked, task.result()))
        elif isinstance(error, NodeError):
            self._send(protocol.error(asked.id, ErrorCode.FAILED, error.cause, error.next_step))
        else:
            log.error("%s over the control socket: a defect", asked.command.name, exc_info=error)
            self._send(_defect(asked))

    def _send(self, line: bytes) -> None:
        if self._dropped or self._writer.is_closing():
            return
        self._writer.write(line)
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._drop()

    async def _drained(self) -> None:
        """Return when the client has read most of what waits for it. Raises `ConnectionError` when it is gone."""
        try:
            async with asyncio.timeout(self._stall_s):
                await self._writer.drain()
        except TimeoutError:
            self._drop()

    def _drop(self) -> None:
        """Let go of a client that does not read; what waits for it is thrown away."""
        if not self._dropped:
            self._dropped = True
            log.info("a control client does not read its answers and was dropped")
            self._writer.transport.abort()

    async def _end(self) -> None:
        """Cancel what is under way, and close."""
        self._ending = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        try:
            if running:
                _, left = await asyncio.wait(running, timeout=CLOSE_S)
                for task in left:
                    log.error("%s goes on though it was cancelled: a defect", task.get_name())
        finally:
            self._writer.close()
            try:
                async with asyncio.timeout(HALF_CLOSED_S):
                    await self._writer.wait_closed()
            except (ConnectionError, TimeoutError):
                self._writer.transport.abort()


def _result(asked: Request, value: Any) -> bytes:
    """The line of a result; of a defect, when it is not what its command promises or cannot travel."""
    if not isinstance(value, asked.command.result):
        log.error("%s over the control socket gave %s: a defect", asked.command.name, type(value))
        return _defect(asked)
    try:
        line = protocol.result(asked.id, value)
    except (TypeError, ValueError) as error:
        log.error("%s over the control socket: a defect", asked.command.name, exc_info=error)
        return _defect(asked)
    if len(line) > MAX_ANSWER_BYTES:
        log.error("the answer to %s has %d bytes", asked.command.name, len(line))
        return _defect(asked)
    return line


def _defect(asked: Request) -> bytes:
    cause = f"{asked.command.name} met a defect of the host"
    return protocol.error(asked.id, ErrorCode.INTERNAL, cause, "look at its log, and report it")
