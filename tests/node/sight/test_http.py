"""The port for metrics answers who may ask, with what it should, and nothing that is sent there holds it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from node.sight import http
from node.sight.errors import CannotServeSight, NotLoopback
from node.sight.facts import LogFacts, PulseFacts, unready
from node.sight.http import MAX_CONNECTIONS, Access, Pages, SightServer, asked_under
from node.sight.metrics import CONTENT_TYPE, Metrics, Sources
from node.sight.tally import Tally
from tests.fakes.deadline import until
from tests.fakes.host_facts import HostFacts
from wire.types import Address

HERE = Address("127.0.0.1", 0)
GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass
class Host:
    """A host and its port."""

    facts: HostFacts
    address: Address
    server: SightServer
    wrong: str | None = None

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    async def raw(self, data: bytes, *, closes: bool = False) -> bytes:
        """Send bytes; all that comes back until the connection ends."""
        reader, writer = await asyncio.open_connection(self.address.ip, self.address.port)
        try:
            async with asyncio.timeout(15):
                with contextlib.suppress(ConnectionError):
                    writer.write(data)
                    await writer.drain()
                    if closes:
                        writer.write_eof()
                    return await reader.read()
            return b""
        finally:
            await closed(writer)

    async def status(self, data: bytes) -> int:
        """Of the answer to bytes; 0 without one."""
        answer = await self.raw(data)
        return int(answer.split(b" ", 2)[1]) if answer else 0


async def closed(writer: asyncio.StreamWriter) -> None:
    """End a connection."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    facts = HostFacts()
    sources = Sources(facts=facts, tally=Tally(), pulse=PulseFacts(), logs=LogFacts)
    made: list[Host] = []
    pages = Pages(
        metrics=Metrics(sources, version="0").render,
        metrics_type=CONTENT_TYPE,
        health=lambda: made[0].wrong,
        ready=lambda: unready(facts.hosting()),
    )
    server = SightServer(pages, Access(names=frozenset({"box.lan"})))
    made.append(Host(facts, await server.start(HERE), server))
    yield made[0]
    await server.close()


async def test_metrics_are_answered_as_prometheus_asks_for_them(host: Host) -> None:
    async with aiohttp.ClientSession() as session, session.get(host.url("/metrics?from=here")) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "lamella_sessions_open 4.0" in await answer.text()
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_health_says_what_is_wrong(host: Host) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(host.url("/health")) as answer:
            assert (answer.status, await answer.text()) == (200, "healthy\n")
        host.wrong = "the compute thread has not come back for 130 s"
        async with session.get(host.url("/health")) as answer:
            assert (answer.status, await answer.text()) == (503, host.wrong + "\n")


@pytest.mark.parametrize(
    ("state", "slices", "reason"),
    [
        ("serving", {"serving": 1}, None),
        ("starting", {}, "starting"),
        ("draining", {"serving": 1}, "draining: takes no new sessions"),
        ("paused", {"serving": 1}, "paused: takes no new sessions"),
        ("serving", {"loading": 1}, "loading a slice"),
        ("serving", {}, "serves no slice"),
    ],
)
async def test_ready_says_why_not(host: Host, state: str, slices: dict[str, int], reason: str | None) -> None:
    host.facts.state, host.facts.slices = state, slices
    async with aiohttp.ClientSession() as session, session.get(host.url("/ready")) as answer:
        expected = (200, "ready\n") if reason is None else (503, reason + "\n")
        assert (answer.status, await answer.text()) == expected


async def test_head_is_answered_without_a_body(host: Host) -> None:
    answer = await host.raw(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    assert length > 1000
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "GETS", "get"])
async def test_other_methods_are_refused(host: Host, method: str) -> None:
    answer = await host.raw(f"{method} /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in {b"405", b"400"}, answer
    assert b"lamella_" not in answer


@pytest.mark.parametrize(
    "path", ["/", "/metrics/", "/METRICS", "//metrics", "/../metrics", "/%6detrics", "*"]
)
async def test_other_paths_are_not_there(host: Host, path: str) -> None:
    assert await host.status(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) in {404, 400}


@pytest.mark.parametrize(
    "fields",
    [
        b"Host: evil.example\r\n",
        b"Host: evil.example:9090\r\n",
        b"Host: localhost.evil.example\r\n",
        b"Host: 127.0.0.1.evil.example\r\n",
        b"Host: 127.0.0.1\r\nHost: evil.example\r\n",
        b"Host: localhost\r\nHost: localhost\r\n",
        b"Host: \r\n",
        b"",
    ],
)
async def test_who_asks_under_a_strangers_name_is_told_nothing(host: Host, fields: bytes) -> None:
    answer = await host.raw(b"GET /metrics HTTP/1.1\r\n" + fields + b"\r\n")
    assert answer.split(b" ", 2)[1] in {b"421", b"400"}, answer
    assert b"lamella_" not in answer


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:80", "10.1.2.3", "box.lan:80"],
)
def test_an_address_or_a_known_name_is_right(name: str) -> None:
    assert asked_under([name], frozenset({"box.lan"}))


@pytest.mark.parametrize(
    "name",
    [
        "::1",
        "[::1",
        "[::1]x",
        "[127.0.0.1]",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:123456",
        "127.1",
        "0x7f000001",
        "2130706433",
        "localhost.",
        "a" * 300,
        "127.0.0.1 ",
        "box.lan",
        "user@localhost",
        "localhost:80:80",
        "",
    ],
)
def test_what_is_no_address_is_a_strangers_name(name: str) -> None:
    # A port may be left empty, RFC 3986 §3.2.3; nothing that asks here does.
    assert not asked_under([name])


@pytest.mark.parametrize(
    "data",
    [
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"m" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\x00" * 10_000,
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["field", "line", "fields", "tls", "zeros", "http09", "version", "length", "smuggled"],
)
async def test_what_is_no_request_is_refused_and_the_next_one_answered(
    host: Host, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await host.raw(data, closes=True)
    assert b"lamella_" not in answer
    assert not answer or answer.split(b" ", 2)[1] == b"400"
    assert await host.status(GET) == 200
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING], "strangers fill no log"


async def test_a_connection_answers_once_and_ends(host: Host) -> None:
    answer = await host.raw(GET * 50)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


async def test_a_body_is_not_read(host: Host) -> None:
    assert await host.status(GET[:-2] + b"Content-Length: 100000000\r\n\r\n" + b"x" * 1000) == 200


async def test_who_sends_a_request_slowly_is_cut_off(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTION_S", 0.3)
    began = asyncio.get_running_loop().time()
    reader, writer = await asyncio.open_connection(host.address.ip, host.address.port)
    writer.write(GET[:-2] + b"X: ")
    ended = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        while not ended.done():
            writer.write(b"x")
            await writer.drain()
            await asyncio.wait([ended], timeout=0.05)
    await asyncio.wait([ended], timeout=10)
    assert ended.done()
    assert isinstance(ended.exception(), ConnectionError) or ended.result() == b""
    assert 0.2 < asyncio.get_running_loop().time() - began < 10
    await closed(writer)


async def test_who_holds_all_connections_keeps_nobody_out(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTION_S", 600.0)
    held = [
        await asyncio.open_connection(host.address.ip, host.address.port) for _ in range(2 * MAX_CONNECTIONS)
    ]
    for _, writer in held:
        writer.write(b"GET /metrics HTTP/1.1\r\n")
    assert await host.status(GET) == 200
    listener = host.server._listener
    assert listener is not None
    assert len(listener._ends) <= MAX_CONNECTIONS
    oldest, _ = held[0]
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await oldest.read() == b""
    for _, writer in held:
        await closed(writer)


async def test_connections_that_ended_are_forgotten(host: Host) -> None:
    for _ in range(3 * MAX_CONNECTIONS):
        assert await host.status(GET) == 200
    listener = host.server._listener
    assert listener is not None
    await until(lambda: not listener._ends)


@pytest.mark.parametrize("ip", ["0.0.0.0", "192.0.2.1", "::"])
async def test_an_address_that_others_reach_is_refused_unless_it_was_asked_for(host: Host, ip: str) -> None:
    with pytest.raises(NotLoopback, match="other machines"):
        await SightServer(host.server._pages).start(Address(ip, 0))


async def test_an_address_that_others_reach_is_taken_when_it_was_asked_for(host: Host) -> None:
    # An address of no machine: that it is tried is what this shows, and nothing is opened.
    with pytest.raises(CannotServeSight):
        await SightServer(host.server._pages, Access(anywhere=True)).start(Address("192.0.2.1", 0))


async def test_a_port_that_is_taken_is_told_with_the_next_step(host: Host) -> None:
    with pytest.raises(CannotServeSight, match=f"{host.address.port}.*; choose another"):
        await SightServer(host.server._pages).start(host.address)


async def test_closing_ends_what_is_open_and_frees_the_port(host: Host) -> None:
    reader, writer = await asyncio.open_connection(host.address.ip, host.address.port)
    writer.write(GET[:10])
    await until(lambda: host.server._listener is not None and host.server._listener._ends)
    await host.server.close()
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    await closed(writer)
    again = SightServer(host.server._pages)
    assert await again.start(host.address) == host.address
    await again.close()
