"""Programs ask a running host, and are told what stands in the way when there is none."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.control import client as client_module
from node.control import protocol
from node.control.arguments import DrainArguments, JoinArguments, LogsArguments, NoArguments
from node.control.client import connected
from node.control.codes import ErrorCode
from node.control.commands import DRAIN, JOIN, LOGS, PEERS, STATUS
from node.control.credentials import HasOptions, PeerProcess
from node.control.errors import (
    BadAnswer,
    ConnectionEnded,
    ControlError,
    NoAnswer,
    NoHostRuns,
    NotAllowed,
    OtherVersion,
    Refused,
)
from node.control.limits import CANCEL_S, MAX_ANSWER_BYTES
from node.control.protocol import Done, Told
from node.control.results import DrainProgress, JoinProgress
from tests.fakes.control import DEADLINE_S, IdleHost, serving, short_folder
from tests.fakes.control import STATUS as ANSWER
from tests.fakes.deadline import until

MANY = 300
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def stranger(talk: Talk) -> AsyncIterator[Path]:
    """A program at a socket that says what it likes."""
    with short_folder() as folder:
        server = await asyncio.start_unix_server(talk, folder / "s")
        yield folder / "s"
        server.close()


def saying(*lines: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.writelines(lines)
        writer.close()

    return talk


async def test_a_result_is_the_record_of_its_command() -> None:
    async with serving(IdleHost()) as server, connected(server.path) as client:
        assert await client.call(STATUS, NoArguments()) == ANSWER


async def test_progress_is_told_in_order_before_the_result() -> None:
    told: list[JoinProgress] = []
    host = IdleHost()
    async with serving(host) as server, connected(server.path) as client:
        joined = await client.call(JOIN, JoinArguments(model="pocket"), told=told.append)
    assert [one.fraction for one in told] == [0.0, 1.0]
    assert joined.seconds == 1.5
    assert host.asked == [JoinArguments(model="pocket")]


async def test_an_error_of_the_host_is_raised_with_its_code() -> None:
    async with serving(IdleHost()) as server, connected(server.path) as client:
        with pytest.raises(Refused, match="there is no such model; name another") as refused:
            await client.call(JOIN, JoinArguments(model="missing"))
        assert refused.value.code == "failed"
        with pytest.raises(Refused, match="does not offer peers"):
            await client.call(PEERS, NoArguments())


async def test_many_requests_at_once_each_get_their_own_answer() -> None:
    host = IdleHost()
    async with serving(host) as server, connected(server.path) as client, asyncio.TaskGroup() as group:
        drain = group.create_task(client.call(DRAIN, DrainArguments(grace_s=4)))
        for _ in range(5):
            group.create_task(client.call(STATUS, NoArguments()))
        await until(lambda: host.asked)
        host.go.set()
        async with asyncio.timeout(DEADLINE_S):
            assert (await drain).finished == 1


async def test_a_request_that_is_given_up_is_cancelled_at_the_host() -> None:
    host = IdleHost()
    async with serving(host) as server, connected(server.path) as client:
        started = asyncio.Event()

        def told(_: DrainProgress) -> None:
            started.set()

        asking = asyncio.create_task(client.call(DRAIN, DrainArguments(), told=told))
        await started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert host.cancelled == ["drain"]
        assert await client.call(STATUS, NoArguments()) == ANSWER


async def test_answers_that_are_left_untaken_do_not_hold_up_the_next_request() -> None:
    host = IdleHost()
    host.log *= MANY
    async with serving(host) as server, connected(server.path) as client:
        async with client.answers(LOGS, LogsArguments(lines=MANY, follow=True)) as answers:
            async for answer in answers:
                assert isinstance(answer, Told)
                break
        async with asyncio.timeout(DEADLINE_S):
            assert await client.call(STATUS, NoArguments()) == ANSWER
    assert host.cancelled == ["logs"]


async def test_answers_can_be_taken_as_they_come() -> None:
    async with (
        serving(IdleHost()) as server,
        connected(server.path) as client,
        client.answers(JOIN, JoinArguments(model="m")) as answers,
    ):
        assert [type(one) async for one in answers] == [Told, Told, Done]


async def test_where_nobody_listens_no_host_runs() -> None:
    with short_folder() as folder:
        with pytest.raises(NoHostRuns, match="no host runs at"):
            async with connected(folder / "s"):
                pytest.fail("there is nobody")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "s"))
        with pytest.raises(NoHostRuns, match="start one"):
            async with connected(folder / "s"):
                pytest.fail("there is nobody")
        with pytest.raises(NoHostRuns, match="no host can be reached"):
            async with connected(folder / ("x" * 200)):
                pytest.fail("there cannot be anybody")


async def test_a_host_that_takes_no_callers_is_not_waited_for() -> None:
    with (
        short_folder() as folder,
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as first,
    ):
        full.bind(str(folder / "s"))
        full.listen(0)
        first.connect(str(folder / "s"))
        with pytest.raises(NoAnswer, match="takes no callers"):
            async with connected(folder / "s", timeout_s=0.2):
                pytest.fail("there is no room")


async def test_a_host_that_is_busy_with_other_callers_is_called_again() -> None:
    with (
        short_folder() as folder,
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as first,
    ):
        full.bind(str(folder / "s"))
        full.listen(0)
        first.connect(str(folder / "s"))

        async def call() -> None:
            async with connected(folder / "s", timeout_s=DEADLINE_S):
                pass

        async with asyncio.TaskGroup() as group:
            calling = group.create_task(call())
            assert (await asyncio.wait([calling], timeout=0.05))[1] == {calling}
            full.accept()[0].close()


async def test_a_host_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CANCEL_S", 0.05)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with stranger(mute) as path, connected(path) as client:
        with pytest.raises(NoAnswer, match=r"did not answer within 0\.1 s"):
            await client.call(STATUS, NoArguments(), timeout_s=0.1)


async def test_a_host_that_ends_is_told_from_one_that_answers() -> None:
    async with stranger(saying()) as path, connected(path) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionEnded):
            await client.call(STATUS, NoArguments())
        with pytest.raises(ConnectionEnded):
            await client.call(STATUS, NoArguments())
        assert time.monotonic() - began < CANCEL_S


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"nonsense\n", BadAnswer),
        (b'{"v":1,"id":1,"ok":{"pid":1}}\n', BadAnswer),
        (b'{"v":1,"id":1,"progress":{}}\n{"v":1,"id":1,"ok":{}}\n', BadAnswer),
        (b'{"v":2,"id":1,"ok":{}}\n', BadAnswer),
        (protocol.error(1, ErrorCode.OTHER_VERSION, "a", "b"), OtherVersion),
        (protocol.error(None, ErrorCode.NOT_ALLOWED, "a", "b"), NotAllowed),
        (protocol.error(None, ErrorCode.TOO_MANY_CLIENTS, "a", "b"), Refused),
        (b"x" * (2 * MAX_ANSWER_BYTES + 1) + b"\n", ConnectionEnded),
        (b'{"v":1,"id":77,"ok":{}}\n', ConnectionEnded),
    ],
)
async def test_anything_a_stranger_says_is_an_error_that_can_be_named(
    line: bytes, kind: type[ControlError]
) -> None:
    async with stranger(saying(line)) as path, connected(path) as client:
        with pytest.raises(kind):
            await client.call(STATUS, NoArguments())


async def test_another_users_program_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(connected: HasOptions) -> PeerProcess:
        return PeerProcess(54321, None)

    def ordinary() -> int:
        return 1000

    async with serving(IdleHost()) as server:
        monkeypatch.setattr(client_module, "read_peer", other)
        monkeypatch.setattr(os, "geteuid", ordinary)
        with pytest.raises(NotAllowed, match="runs as user 54321"):
            async with connected(server.path):
                pytest.fail("it is not ours")


async def test_the_default_place_is_asked_when_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_folder() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        with pytest.raises(NoHostRuns, match=f"{folder}/lamella/control.sock"):
            async with connected():
                pytest.fail("there is nobody")


def test_an_answer_is_decoded_as_its_command_says() -> None:
    body: dict[str, Any] = {"records": 3}
    assert client_module.decoded(LOGS, Done(1, body)).dropped == 0
    with pytest.raises(BadAnswer, match="answer to logs is not understood"):
        client_module.decoded(LOGS, Told(1, body))
