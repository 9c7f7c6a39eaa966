"""Several clients, none of whom can harm the host or the others."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import stat
import time
from pathlib import Path

import pytest
import uvloop

from node.control.credentials import HasOptions, PeerProcess
from node.control.errors import CredentialsUnknown, HostIsRunning
from node.control.limits import MAX_CLIENTS
from node.control.server import ControlServer
from tests.fakes.control import IdleHost, RawClient, raw_client, request, serving, short_folder
from tests.fakes.deadline import until

MALFORMED = 1000
SOON_S = 1.0
"""Generous: the machine may be busy."""


def of_user(uid: int) -> PeerProcess:
    return PeerProcess(uid, 1)


async def _ask(client: RawClient) -> None:
    client.send(request(1, "status"))
    assert (await client.answer())["ok"]["state"] == "serving"


async def test_several_clients_are_answered_at_once() -> None:
    host = IdleHost()
    async with serving(host) as server, raw_client(server.path) as first, raw_client(server.path) as second:
        first.send(request(1, "drain"))
        await first.answer()
        await _ask(second)
        assert server.clients == 2
        host.go.set()
        assert "ok" in await first.answer()


async def test_clients_beyond_the_bound_are_told_so_and_take_nobodys_place() -> None:
    async with serving(IdleHost()) as server:
        clients = [await asyncio.open_unix_connection(server.path) for _ in range(MAX_CLIENTS)]
        await until(lambda: server.clients == MAX_CLIENTS)
        async with raw_client(server.path) as late:
            late.send(request(1, "status"))
            assert await late.code() == "too_many_clients"
            assert await late.at_end()
        await _ask(RawClient(*clients[0]))
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()
        await until(lambda: server.clients == 0)
        async with raw_client(server.path) as again:
            await _ask(again)


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (54321, False)])
async def test_only_the_same_user_and_root_are_let_in(uid: int, allowed: bool) -> None:
    def peer(connected: HasOptions) -> PeerProcess:
        return of_user(uid)

    async with serving(IdleHost(), read_peer=peer) as server, raw_client(server.path) as client:
        client.send(request(1, "status"))
        if allowed:
            assert "ok" in await client.answer()
        else:
            answer = await client.answer()
            assert answer["error"]["code"] == "not_allowed" and "user 54321" in answer["error"]["cause"]
            assert await client.at_end()


async def test_nobody_is_let_in_where_the_system_does_not_tell_who_it_is() -> None:
    def unknown(connected: HasOptions) -> PeerProcess:
        raise CredentialsUnknown("this system does not tell", "use signals")

    async with serving(IdleHost(), read_peer=unknown) as server, raw_client(server.path) as client:
        assert await client.code() == "not_allowed"
        assert await client.at_end()


async def test_a_thousand_malformed_requests_harm_nothing() -> None:
    draw = random.Random(7)
    host = IdleHost()
    async with serving(host) as server, raw_client(server.path) as honest:
        sent = 0
        while sent < MALFORMED:
            async with raw_client(server.path) as hostile:
                for _ in range(25):
                    hostile.send(draw.randbytes(draw.randrange(200)).replace(b"\n", b" ") + b"\n")
                    sent += 1
                for _ in range(25):
                    assert await hostile.code() == "malformed"
            began = time.monotonic()
            await _ask(honest)
            assert time.monotonic() - began < SOON_S
        await until(lambda: server.clients == 1)
        assert len(asyncio.all_tasks()) < 6


async def test_closing_ends_requests_with_a_code_and_takes_the_socket_away() -> None:
    host = IdleHost()
    async with serving(host) as server, raw_client(server.path) as client:
        client.send(request(1, "drain"))
        await client.answer()
        await server.close()
        assert await client.code() == "shutting_down"
        assert await client.at_end()
        assert host.cancelled == ["drain"]
        assert not server.path.exists() and server.clients == 0
        await server.close()


async def test_a_server_can_start_again_where_it_was() -> None:
    async with serving(IdleHost()) as server:
        await server.close()
        await server.start()
        assert stat.S_IMODE(server.path.lstat().st_mode) == 0o600
        async with raw_client(server.path) as client:
            await _ask(client)


async def test_a_second_host_is_refused_and_the_first_goes_on() -> None:
    async with serving(IdleHost()) as server:
        second = ControlServer(server.path, {})
        with pytest.raises(HostIsRunning):
            await second.start()
        await second.close()
        async with raw_client(server.path) as client:
            await _ask(client)


def test_it_works_on_the_event_loop_hosts_use() -> None:
    async def ask(path: Path) -> None:
        server = ControlServer(path, IdleHost().handlers())
        await server.start()
        async with raw_client(path) as client:
            await _ask(client)
        await server.close()

    with short_folder() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask(folder / "s"))
        assert [one.name for one in folder.iterdir()] == ["s.lock"]


async def test_a_host_without_descriptors_takes_clients_again_when_it_has_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(IdleHost()) as server:
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.setblocking(False)
            free = os.dup(waiting.fileno())
            os.close(free)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
                waiting.connect(str(server.path))
                await until(lambda: "no control client can be taken" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: server.clients == 1)
        async with raw_client(server.path) as client:
            await _ask(client)
