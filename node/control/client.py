"""Asks a running host over its control socket. For the chat client, `lamella-node ctl` and tests alike.

One task reads the connection and hands each answer to the request it belongs to, so that several requests can be under
way. An answer nobody takes holds up the others: take them, or leave the request, which cancels it at the host.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from node.control import place, protocol
from node.control.codes import ErrorCode
from node.control.commands import Command
from node.control.credentials import HasOptions, read_peer
from node.control.errors import (
    BadAnswer,
    ConnectionEnded,
    ControlError,
    NoAnswer,
    NoHostRuns,
    NotAllowed,
    Unfit,
)
from node.control.limits import ANSWER_S, CANCEL_S, CONNECT_S, MAX_ANSWER_BYTES
from node.control.protocol import Answer, Done, Failed, Told
from node.control.shapes import read

A = TypeVar("A")
P = TypeVar("P")
R = TypeVar("R")
_WAITING: Final = 64
"""Answers to one request that are kept until they are taken; then the host is made to wait."""
_TRY_AGAIN_S: Final = 0.02
_START: Final = "start one with `lamella-node --model ...`, or name its socket with --control"


class ControlClient:
    """A connection to a running host. Made by `connected`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Answer | ControlError]] = {}
        self._ended: ControlError | None = None

    async def call(
        self,
        command: Command[A, P, R],
        arguments: A,
        *,
        told: Callable[[P], Awaitable[None] | None] | None = None,
        timeout_s: float | None = None,
    ) -> R:
        """Ask for something and return its result.

        Args:
            told: is given what comes before the result.
            timeout_s: how long to wait for each answer; when None, `ANSWER_S`, and any time for long commands.

        Raises:
            Refused: the host answered with an error.
            NoAnswer, ConnectionEnded, BadAnswer: there was no answer.
        """
        async with self.answers(command, arguments, timeout_s=timeout_s) as answers:
            async for answer in answers:
                if isinstance(answer, Failed):
                    raise answer.error()
                record = decoded(command, answer)
                if isinstance(answer, Done):
                    done: R = record
                    return done
                if told is not None and (waits := told(record)) is not None:
                    await waits
        raise _ended("the host said nothing more")

    @asynccontextmanager
    async def answers(
        self, command: Command[A, P, R], arguments: A, *, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncIterator[Answer]]:
        """Ask for something; yields its answers as they come, the last one a `Done` or `Failed`.

        A request that is left before its end is cancelled, and its last answer waited for, but not for long. Raises
        while answers are taken: `NoAnswer`, `ConnectionEnded`, `BadAnswer`.
        """
        id_ = next(self._ids)
        waiting: asyncio.Queue[Answer | ControlError] = asyncio.Queue(_WAITING)
        if self._ended is not None:
            raise self._ended
        self._waiting[id_] = waiting
        patience = timeout_s if timeout_s is not None or command.is_long else ANSWER_S
        try:
            self._writer.write(protocol.request(id_, command, arguments))
            yield self._taken(id_, waiting, patience)
        finally:
            if id_ in self._waiting:
                await self._cancel(id_, waiting)

    async def _taken(
        self, id_: int, waiting: asyncio.Queue[Answer | ControlError], patience: float | None
    ) -> AsyncIterator[Answer]:
        while True:
            try:
                async with asyncio.timeout(patience):
                    answer = await waiting.get()
            except TimeoutError as error:
                raise NoAnswer(
                    f"the host did not answer within {patience:g} s",
                    "it may be stopped or overloaded: look at its log, or start it again",
                ) from error
            if isinstance(answer, ControlError):
                self._waiting.pop(id_, None)
                raise answer
            if isinstance(answer, Done | Failed):
                self._waiting.pop(id_, None)
                yield answer
                return
            yield answer

    async def _cancel(self, id_: int, waiting: asyncio.Queue[Answer | ControlError]) -> None:
        """Give a request up, and wait a moment until the host has said so."""
        self._writer.write(protocol.cancel(id_))
        try:
            async with asyncio.timeout(CANCEL_S):
                while isinstance(await waiting.get(), Told):
                    pass
        except TimeoutError:
            # It ends with the connection at the latest.
            pass
        finally:
            self._waiting.pop(id_, None)
            # Whoever hands out answers may be waiting for room here.
            while not waiting.empty():
                waiting.get_nowait()

    async def hand_out(self) -> None:
        """Give each answer to its request until the connection ends, then that to all that still wait.

        `connected` runs this beside whoever asks.
        """
        why: ControlError = _ended("the host ended the connection")
        try:
            while line := await self._reader.readline():
                answer = protocol.read_answer(line)
                if answer.id is None:
                    why = _unasked(answer)
                    break
                waiting = self._waiting.get(answer.id)
                if waiting is not None:
                    await waiting.put(answer)
        except BadAnswer as error:
            why = error
        except (ValueError, ConnectionError) as error:
            # asyncio raises ValueError for a line over the limit.
            why = _ended("the host ended the connection, or sent too much")
            why.__cause__ = error
        finally:
            self._ended = why
        for waiting in list(self._waiting.values()):
            await waiting.put(why)


@asynccontextmanager
async def connected(
    path: Path | None = None, *, timeout_s: float = CONNECT_S
) -> AsyncIterator[ControlClient]:
    """Connect to the host at a socket, `place.default_path()` when None, and disconnect at the end.

    Raises:
        NoHostRuns: nobody answers there.
        NotAllowed: the socket is another user's.
        NoAnswer: it is full of callers that are not answered.
        CredentialsUnknown: this system does not tell whose host it is.
    """
    where = path if path is not None else place.default_path()
    try:
        async with asyncio.timeout(timeout_s):
            called = await _called(where)
        reader, writer = await asyncio.open_unix_connection(sock=called, limit=MAX_ANSWER_BYTES)
    except OSError as error:
        raise _unreachable(where, error) from error
    try:
        _check_owner(where, writer)
        client = ControlClient(reader, writer)
        task = asyncio.create_task(client.hand_out(), name="answers of the control socket")
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.wait([task])
    finally:
        writer.close()
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await writer.wait_closed()


async def _called(where: Path) -> socket.socket:
    """A socket that is connected. Raises `OSError`.

    asyncio takes the system's "try again", for a host whose queue of callers is full, for a connection.
    """
    called = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        called.setblocking(False)
        while (failure := called.connect_ex(str(where))) == errno.EAGAIN:  # noqa: ASYNC110 - a queue tells nobody of its room
            await asyncio.sleep(_TRY_AGAIN_S)
        if failure:
            raise OSError(failure, os.strerror(failure))
    except BaseException:
        called.close()
        raise
    return called


def decoded(command: Command[Any, P, R], answer: Told | Done) -> Any:
    """The record in an answer: the command's progress or result. Raises `BadAnswer`."""
    try:
        return read(command.result if isinstance(answer, Done) else command.progress, answer.body)
    except Unfit as error:
        raise BadAnswer(
            f"the host's answer to {command.name} is not understood: {error.cause}", error.next_step
        ) from error


def _check_owner(where: Path, writer: asyncio.StreamWriter) -> None:
    """Refuse to talk to another user's program in place of a host. Raises `NotAllowed` or `CredentialsUnknown`."""
    connection: HasOptions = writer.get_extra_info("socket")
    peer = read_peer(connection)
    if not peer.may_answer(os.geteuid()):
        raise NotAllowed(
            f"the program at {where} runs as user {peer.uid}", "find out what it is; it is not your host"
        )


def _unreachable(where: Path, error: OSError) -> ControlError:
    if isinstance(error, PermissionError):
        return NotAllowed(
            f"the control socket {where} is another user's", "ask as the user who runs the host"
        )
    if isinstance(error, TimeoutError | BlockingIOError):
        return NoAnswer(f"the host at {where} takes no callers", "it may be stopped: start it again")
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return NoHostRuns(f"no host runs at {where}", _START)
    return NoHostRuns(f"no host can be reached at {where} ({error.strerror or error})", _START)


def _unasked(answer: Answer) -> ControlError:
    """What an answer to no request means: the host refuses the connection, or a line was damaged."""
    if not isinstance(answer, Failed):
        return BadAnswer("the host answered what nobody asked", "update the older of the two programs")
    if answer.code == ErrorCode.NOT_ALLOWED.value:
        return NotAllowed(answer.cause, answer.next_step)
    return answer.error()


def _ended(cause: str) -> ControlError:
    return ConnectionEnded(cause, "see whether it runs: `lamella-node ctl status`")
