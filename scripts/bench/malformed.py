"""Lines for the control socket that are no requests, of every kind, from a seed; and a client that sends them.

None asks for anything that a host may do: all are to be answered with an error, or to end the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from node.control.limits import MAX_MALFORMED, MAX_REQUEST_BYTES, VERSION

_AT_ONCE: Final = 4
"""Connections that send at once."""
_PATIENCE_S: Final = 30.0
_ANSWER_BYTES: Final = 1 << 21


def lines(count: int, seed: int = 5) -> Iterator[bytes]:
    """Lines of all kinds in turn, each with its end."""
    source = random.Random(seed)
    kinds: tuple[Callable[[random.Random], bytes], ...] = (
        _noise,
        _cut_off,
        lambda _: b"[" * 8000,
        lambda _: b'{"a":' * 2000 + b"1" + b"}" * 2000,
        lambda rolled: b'"' + b"x" * (MAX_REQUEST_BYTES + rolled.randrange(1, 5000)) + b'"',
        lambda rolled: _request(v=rolled.choice((0, VERSION + 1, -1, "1", None, 1e99, [1]))),
        lambda rolled: _request(
            command=rolled.choice(("", "shutdown", "Status", "sta\0tus", 5, None, ["status"]))
        ),
        lambda rolled: _request(id=rolled.choice((-1, 1.5, "1", None, 1 << 80, {}, True))),
        lambda rolled: _request(arguments=rolled.choice(([], 1, "x", {"unknown": 1}, {"slice": "m"}))),
        lambda _: _request(command="drain", arguments={"slice": 5, "grace_s": "soon"}),
        lambda _: _request(command="join", arguments={"model": "x" * 5000, "layers": "nine to five"}),
        lambda _: _request(command="logs", arguments={"lines": -1, "follow": "yes"}),
        lambda rolled: json.dumps(rolled.choice((1, "status", None, [], [_request().decode()]))).encode(),
        lambda _: b'{"v":1,"id":1,"command":"stop","arguments":{"grace_s":1e999}}',
        lambda _: b'{"v":1,"v":1,"id":1,"id":2,"command":"status","command":"stop","arguments":{"a":0}}',
        lambda _: b"\xef\xbb\xbf\xff\xfe" + _request(),
    )
    for number in range(count):
        yield kinds[number % len(kinds)](source).replace(b"\n", b" ") + b"\n"


async def send(socket: Path, count: int, seed: int = 5) -> int:
    """Send so many malformed lines over as many connections as that takes; returns how many were answered.

    Each connection sends fewer than end it, so that every line is read; every seventh lets a line dribble in. Raises
    `RuntimeError` when the host says anything but that a line is wrong.
    """
    todo = list(lines(count, seed))
    size = MAX_MALFORMED // 2
    parts = [todo[at : at + size] for at in range(0, len(todo), size)]
    answered = 0
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, part: list[bytes]) -> int:
        async with gate:
            return await _send(socket, part, slowly=number % 7 == 0)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, part)) for number, part in enumerate(parts)]
    answered += sum(task.result() for task in tasks)
    return answered


async def _send(socket: Path, part: list[bytes], *, slowly: bool) -> int:
    reader, writer = await asyncio.open_unix_connection(socket, limit=_ANSWER_BYTES)
    answered = 0
    try:
        async with asyncio.timeout(_PATIENCE_S):
            for line in part:
                for piece in _pieces(line) if slowly else (line,):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                said = json.loads(await reader.readline())
                if "error" not in said:
                    raise RuntimeError(f"a malformed line was answered with {said}")
                answered += 1
            # And it goes without having ended its last line.
            writer.write(_request()[:-5])
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answered


def _pieces(line: bytes) -> tuple[bytes, ...]:
    third = max(1, len(line) // 3)
    return tuple(line[at : at + third] for at in range(0, len(line), third))


def _request(**changed: object) -> bytes:
    fields: dict[str, object] = {"v": VERSION, "id": 1, "command": "status", "arguments": {}, **changed}
    return json.dumps(fields).encode()


def _noise(rolled: random.Random) -> bytes:
    return rolled.randbytes(rolled.randrange(1, 2000))


def _cut_off(rolled: random.Random) -> bytes:
    whole = _request(arguments={"slice": "m" * rolled.randrange(50)})
    return whole[: rolled.randrange(1, len(whole) - 1)]
