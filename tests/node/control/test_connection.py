"""What one client can ask, and what it cannot do to the host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import cast

import pytest

from node.control import connection
from node.control.arguments import LogsArguments, NoArguments
from node.control.commands import Handlers, Nothing, Tell
from node.control.limits import (
    MAX_ANSWER_BYTES,
    MAX_MALFORMED,
    MAX_REQUEST_BYTES,
    MAX_REQUESTS,
    MAX_UNREAD_BYTES,
    STALL_S,
)
from node.control.results import Hosting, LogRecord, LogsEnd, Metrics, Status
from node.control.server import ControlServer
from tests.fakes.control import STATUS, IdleHost, RawClient, raw_client, request, serving
from tests.fakes.deadline import until


@pytest.fixture
async def host() -> IdleHost:
    return IdleHost()


@pytest.fixture
async def server(host: IdleHost) -> AsyncIterator[ControlServer]:
    async with serving(host) as started:
        yield started


@pytest.fixture
async def client(server: ControlServer) -> AsyncIterator[RawClient]:
    async with raw_client(server.path) as connected:
        yield connected


async def test_progress_comes_before_the_result(client: RawClient) -> None:
    client.send(request(3, "join", model="pocket", layers="6:12"))
    first, second, last = [await client.answer() for _ in range(3)]
    assert first == {
        "v": 1,
        "id": 3,
        "progress": {"slice": "pocket/6:12", "phase": "loading", "fraction": 0.0, "detail": None},
    }
    assert second["progress"]["fraction"] == 1.0
    assert last["ok"]["slice"]["state"] == "serving" and last["id"] == 3


async def test_an_error_of_the_host_is_told_with_its_next_step(client: RawClient) -> None:
    client.send(request(1, "join", model="missing"))
    assert await client.answer() == {
        "v": 1,
        "id": 1,
        "error": {"code": "failed", "cause": "there is no such model", "next_step": "name another"},
    }


async def test_a_defect_of_a_handler_costs_its_request_alone_and_is_logged_not_told(
    client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.send(request(1, "hosting"), request(2, "metrics"), request(3, "status"))
    answers = {one["id"]: one for one in [await client.answer() for _ in range(3)]}
    assert [answers[one]["error"]["code"] for one in (1, 2)] == ["internal", "internal"]
    assert "secret" not in str(answers)
    assert answers[3]["ok"]["pid"] == 7
    assert sum("a defect" in one.message for one in caplog.records) == 2


async def test_a_command_without_a_handler_is_unsupported(client: RawClient) -> None:
    client.send(request(1, "peers"))
    assert await client.code() == "unsupported"


async def test_several_requests_run_at_once(client: RawClient, host: IdleHost) -> None:
    client.send(request(1, "drain", grace_s=9), request(2, "status"))
    answers = [await client.answer() for _ in range(2)]
    assert {(one["id"], next(iter({"progress", "ok"} & set(one)))) for one in answers} == {
        (1, "progress"),
        (2, "ok"),
    }
    host.go.set()
    assert (await client.answer())["ok"] == {"slices": ["pocket/6:12"], "finished": 1, "cut_off": 0}


async def test_requests_beyond_the_bound_are_refused_until_one_has_ended(
    client: RawClient, host: IdleHost
) -> None:
    client.send(*(request(one, "drain") for one in range(MAX_REQUESTS + 1)))
    answers = [await client.answer() for _ in range(MAX_REQUESTS + 1)]
    (refused,) = [one for one in answers if "error" in one]
    assert (refused["id"], refused["error"]["code"]) == (MAX_REQUESTS, "too_many_requests")
    host.go.set()
    for _ in range(MAX_REQUESTS):
        assert "ok" in await client.answer()
    client.send(request(0, "status"))
    assert "ok" in await client.answer()


async def test_an_id_that_is_under_way_is_not_mistaken_for_another(client: RawClient, host: IdleHost) -> None:
    client.send(request(1, "drain"), request(1, "status"))
    answers = [await client.answer() for _ in range(2)]
    (refused,) = [one for one in answers if "error" in one]
    assert refused["id"] is None and refused["error"]["code"] == "too_many_requests"
    host.go.set()
    assert (await client.answer())["id"] == 1


async def test_a_cancelled_request_is_answered_as_such_and_its_handler_ended(
    client: RawClient, host: IdleHost
) -> None:
    client.send(request(1, "drain"))
    await client.answer()
    client.send({"v": 1, "cancel": 1})
    answer = await client.answer()
    assert answer["id"] == 1 and answer["error"]["code"] == "cancelled"
    assert answer["error"]["next_step"] == "the host goes on draining"
    assert host.cancelled == ["drain"]


async def test_a_request_that_is_cancelled_in_the_same_breath_is_answered(client: RawClient) -> None:
    client.send(request(1, "drain"), {"v": 1, "cancel": 1})
    assert await client.code() == "cancelled"


async def test_a_cancel_of_what_is_over_or_never_was_changes_nothing(client: RawClient) -> None:
    client.send({"v": 1, "cancel": 1}, request(2, "status"))
    assert (await client.answer())["id"] == 2


async def test_requests_end_with_their_client(server: ControlServer, host: IdleHost) -> None:
    async with raw_client(server.path) as client:
        client.send(request(1, "drain"), request(2, "logs", follow=True))
        await client.answer()
        assert server.clients == 1
    await until(lambda: server.clients == 0)
    assert sorted(host.cancelled) == ["drain", "logs"]


async def test_a_client_that_ends_its_side_still_gets_a_quick_answer(client: RawClient) -> None:
    client.send(request(1, "status"))
    client.writer.write_eof()
    assert "ok" in await client.answer()
    assert await client.at_end()


async def test_a_malformed_line_is_answered_and_the_next_is_taken(client: RawClient) -> None:
    client.send(b"status\n", b"x" * (MAX_REQUEST_BYTES + 1) + b"\n", request(1, "status"))
    assert await client.code() == "malformed"
    assert await client.code() == "too_long"
    assert (await client.answer())["id"] == 1


async def test_a_line_without_an_end_is_told_to_be_too_long_and_not_kept(client: RawClient) -> None:
    client.send(b"x" * (8 * MAX_REQUEST_BYTES))
    assert await client.code() == "too_long"
    client.send(b"x\n", request(1, "status"))
    assert "ok" in await client.answer()


async def test_a_client_of_malformed_lines_is_answered_so_often_and_no_more(client: RawClient) -> None:
    client.send(b"{}\n" * (2 * MAX_MALFORMED))
    for _ in range(MAX_MALFORMED + 1):
        assert await client.code() == "malformed"
    assert await client.at_end()


async def test_unknown_commands_do_not_end_a_connection(client: RawClient) -> None:
    for number in range(2 * MAX_MALFORMED):
        client.send(request(number, "statuss"))
        answer = await client.answer()
        assert (answer["id"], answer["error"]["code"]) == (number, "unknown_command")
        assert answer["error"]["next_step"] == "did you mean status?"


async def test_a_client_that_does_not_read_is_dropped_and_its_handler_was_held_up(
    host: IdleHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    host.log_words = "x" * 4000
    async with serving(host, stall_s=0.2) as server, raw_client(server.path) as client:
        client.stop_reading()
        client.send(request(1, "logs", follow=True))
        await until(lambda: host.cancelled == ["logs"])
        await until(lambda: server.clients == 0)
    assert host.told * len(host.log_words) < MAX_UNREAD_BYTES
    assert "does not read its answers" in caplog.text


async def test_a_client_that_asks_much_and_reads_nothing_is_dropped(host: IdleHost) -> None:
    async with serving(host, stall_s=0.2) as server, raw_client(server.path) as client:
        client.stop_reading()

        async def flood() -> None:
            while not client.writer.transport.is_closing():
                client.send(*(request(one, "status") for one in range(50)))
                await client.writer.drain()

        flooding = asyncio.create_task(flood())
        await until(lambda: server.clients == 0)
        flooding.cancel()
        await asyncio.wait([flooding])
        if not flooding.cancelled():
            assert isinstance(flooding.exception(), ConnectionError | None)


async def test_a_connection_without_a_request_under_way_ends_after_a_time(
    host: IdleHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.05)
    async with serving(host) as server, raw_client(server.path) as busy, raw_client(server.path) as idle:
        busy.send(request(1, "drain"))
        await busy.answer()
        assert await idle.at_end()
        host.go.set()
        assert "ok" in await busy.answer()
        assert await busy.at_end()


async def test_what_a_command_does_not_promise_is_not_sent(host: IdleHost) -> None:
    async def wrong(arguments: NoArguments, tell: Tell[Nothing]) -> Status:
        return cast("Status", Hosting())

    async def talkative(arguments: NoArguments, tell: Tell[Nothing]) -> Hosting:
        await tell(cast("Nothing", STATUS))
        return Hosting()

    async def endless(arguments: LogsArguments, tell: Tell[LogRecord]) -> LogsEnd:
        await tell(LogRecord(time=0.0, level="info", logger="x", message="x" * MAX_ANSWER_BYTES))
        return LogsEnd(records=1)

    async def great(arguments: NoArguments, tell: Tell[Nothing]) -> Metrics:
        return Metrics(values={str(number).zfill(100): 0.0 for number in range(20_000)})

    handlers: Handlers = {"status": wrong, "hosting": talkative, "logs": endless, "metrics": great}
    async with serving(host, handlers=handlers) as server, raw_client(server.path) as client:
        for number, command in enumerate(handlers):
            client.send(request(number, command))
            assert await client.code() == "internal"


async def test_no_more_is_kept_for_a_client_than_the_bound(host: IdleHost) -> None:
    async def great(arguments: NoArguments, tell: Tell[Nothing]) -> Metrics:
        return Metrics(values={str(number).zfill(100): 0.0 for number in range(8_000)})

    async with serving(host, handlers={"metrics": great}) as server, raw_client(server.path) as client:
        client.stop_reading()
        client.send(*(request(number, "metrics") for number in range(2)))
        await client.writer.drain()
        assert server.clients == 1
        client.send(*(request(number, "metrics") for number in range(2, MAX_REQUESTS)))
        # Long before it is dropped for being slow.
        await until(lambda: server.clients == 0, timeout_s=STALL_S / 2)
