"""A thousand lines that are no requests do a host no harm: it answers its clients, says its status, keeps nothing."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from node.control.arguments import NoArguments
from node.control.client import connected
from node.control.commands import STATUS
from node.control.limits import MAX_MALFORMED
from node.control.results import DaemonState
from scripts.bench import malformed
from scripts.bench.daemons import Daemon
from scripts.bench.sampling import sampling
from tests.end_to_end.conftest import Reference
from tests.fakes import asking, hosts
from tests.fakes.control import raw_client
from tests.fakes.hosts import HostOptions

pytestmark = pytest.mark.timeout(240)

IDS = list(b"what is this?")
COUNT = 1000


async def test_malformed_requests_harm_nothing(
    tiny_model: Path, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    expected = whole_model_tokens(tiny_model, IDS, 16)
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        socket = Path(folder) / "c"
        host = hosts.start(tmp_path / "host", tiny_model, "1:5", HostOptions(control=socket))
        try:
            await asyncio.to_thread(host.wait_ready)
            daemon = Daemon(pid=host.pid, contact=host.contact, control=socket)
            client = asking.client(tiny_model, [host.contact], tmp_path / "me", front_layers=1, dht=False)
            async with sampling([daemon]) as sampler, client as asked:
                assert await asking.tokens(asked.session, IDS, 16) == expected
                (before,) = await sampler.look()
                sending = asyncio.create_task(malformed.send(socket, COUNT))
                answers = 0
                while not sending.done() or not answers:
                    await asked.session.close()
                    assert await asking.tokens(asked.session, IDS, 16) == expected
                    answers += 1
                assert await sending == COUNT
                async with connected(socket) as control:
                    status = await control.call(STATUS, NoArguments())
                assert status.state is DaemonState.SERVING
                _, gone = await sampler.until(lambda now: not now[0].beyond(before), 20.0)
                assert gone, (await sampler.look())[0].beyond(before)
                assert (await sampler.look())[0].own_bytes < before.own_bytes + (32 << 20)
        finally:
            await asyncio.to_thread(host.end)
    assert "Traceback" not in host.stderr


async def test_who_sends_nothing_but_malformed_lines_is_hung_up_on(tiny_model: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        socket = Path(folder) / "c"
        host = hosts.start(tmp_path / "host", tiny_model, "1:5", HostOptions(control=socket))
        try:
            await asyncio.to_thread(host.wait_ready)
            async with raw_client(socket) as client:
                for line in malformed.lines(MAX_MALFORMED + 1):
                    client.send(b"?" + line)
                for _ in range(MAX_MALFORMED + 1):
                    await client.answer()
                assert await client.at_end()
            async with connected(socket) as control:
                assert (await control.call(STATUS, NoArguments())).pid == host.pid
        finally:
            await asyncio.to_thread(host.end)
