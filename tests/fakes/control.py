"""A host behind a control socket that does nothing, and raw clients of it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from node.control.arguments import DrainArguments, JoinArguments, LogsArguments, NoArguments
from node.control.commands import Handlers, Nothing, Tell
from node.control.results import (
    DaemonState,
    Drained,
    DrainProgress,
    Hosting,
    Joined,
    JoinPhase,
    JoinProgress,
    LogRecord,
    LogsEnd,
    Memory,
    Metrics,
    Rates,
    SliceLine,
    SliceState,
    Status,
)
from node.control.server import ControlServer
from node.errors import NodeError
from wire.types import LayerRange

DEADLINE_S = 20.0
SLICE = SliceLine(name="pocket/6:12", model="pocket", layers=LayerRange(6, 12), state=SliceState.SERVING)
STATUS = Status(
    peer_id="a" * 52,
    version="0.1.0",
    pid=7,
    uptime_s=3725.5,
    state=DaemonState.SERVING,
    network="main",
    addresses=("127.0.0.1:7311",),
    slices=(SLICE,),
    sessions=1,
    memory=Memory(weight_bytes=3 << 20, kv_used_bytes=1 << 20, kv_total_bytes=1 << 30),
    rates=Rates(upload_bytes_per_s=262_144.0),
    links=2,
    dht_nodes=9,
    reachability="nobody has reached this host yet",
)


class IdleHost:
    """Answers what it is told to; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()
        """Lets a drain come to its end."""
        self.told = 0
        self.log = [LogRecord(time=1.7e9, level="info", logger="node", message="ready")]
        self.fractions: tuple[float, ...] = (0.0, 1.0)
        """How far a join is, each time it is told."""
        self.fails_at_the_end = False
        """Whether a join does."""
        self.log_words = ""
        """Followed for ever, over and over, when not empty."""

    def handlers(self) -> Handlers:
        return {
            "status": self.status,
            "hosting": self.hosting,
            "join": self.join,
            "drain": self.drain,
            "metrics": self.metrics,
            "logs": self.logs,
        }

    async def status(self, arguments: NoArguments, tell: Tell[Nothing]) -> Status:
        return STATUS

    async def hosting(self, arguments: NoArguments, tell: Tell[Nothing]) -> Hosting:
        raise ZeroDivisionError("a secret")

    async def metrics(self, arguments: NoArguments, tell: Tell[Nothing]) -> Metrics:
        return Metrics(values={"not_finite": float("nan")})

    async def join(self, arguments: JoinArguments, tell: Tell[JoinProgress]) -> Joined:
        self.asked.append(arguments)
        if arguments.model == "missing":
            raise NodeError("there is no such model", "name another")
        for fraction in self.fractions:
            await tell(JoinProgress(slice=SLICE.name, phase=JoinPhase.LOADING, fraction=fraction))
        if self.fails_at_the_end:
            raise NodeError("it broke", "mend it")
        return Joined(slice=SLICE, seconds=1.5)

    async def drain(self, arguments: DrainArguments, tell: Tell[DrainProgress]) -> Drained:
        self.asked.append(arguments)
        try:
            await tell(
                DrainProgress(
                    slice=SLICE.name, state=SliceState.DRAINING, sessions=1, left_s=arguments.grace_s or 0
                )
            )
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append("drain")
            raise
        return Drained(slices=(SLICE.name,), finished=1)

    async def logs(self, arguments: LogsArguments, tell: Tell[LogRecord]) -> LogsEnd:
        try:
            for record in self.log[: arguments.lines]:
                await tell(record)
            while arguments.follow and self.log_words:
                await tell(LogRecord(time=0.0, level="info", logger="x", message=self.log_words))
                self.told += 1
            if arguments.follow:
                await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append("logs")
            raise
        return LogsEnd(records=len(self.log))


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder of this user alone whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="lam-") as name:
        yield Path(name)


@asynccontextmanager
async def serving(
    host: IdleHost, *, handlers: Handlers | None = None, **options: Any
) -> AsyncIterator[ControlServer]:
    """The host's control socket, in a folder of its own."""
    with short_folder() as folder:
        server = ControlServer(folder / "control.sock", handlers or host.handlers(), **options)
        await server.start()
        try:
            yield server
        finally:
            await server.close()


class RawClient:
    """Sends any bytes, and reads lines as JSON."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: object) -> None:
        for line in lines:
            self.writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def stop_reading(self) -> None:
        """Leave what the host says in the system's buffers."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    async def answer(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            line = await self.reader.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    async def code(self) -> str:
        """The code of the next answer, which is an error."""
        code: str = (await self.answer())["error"]["code"]
        return code

    async def at_end(self) -> bool:
        """Whether the host ends the connection before it says anything more."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def raw_client(path: Path) -> AsyncIterator[RawClient]:
    """A connection that is closed at the end."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 21)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request(id_: object, command: str, **arguments: object) -> dict[str, object]:
    """A request as a client writes it."""
    return {"v": 1, "id": id_, "command": command, "arguments": arguments}
