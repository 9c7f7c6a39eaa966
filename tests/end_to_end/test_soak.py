"""The short soak: clients come, ask, cancel, drop and are killed, and nothing wrong is said and nothing kept."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bench.daemons import Daemon
from scripts.bench.soak import Soak, Terms
from scripts.bench.soak_verdict import missed
from tests.fakes import hosts
from tests.fakes.hosts import HostOptions

pytestmark = pytest.mark.timeout(400)


async def test_clients_that_come_cancel_and_vanish_leave_nothing_behind(
    tiny_model: Path, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="lm") as short:
        started = [
            hosts.start(
                tmp_path / f"host-{index}",
                tiny_model,
                layers,
                HostOptions(control=Path(short) / str(index)),
            )
            for index, layers in enumerate(("1:3", "3:5"))
        ]
        try:
            daemons = [
                Daemon(
                    pid=host.pid,
                    contact=await asyncio.to_thread(host.wait_ready),
                    control=Path(short) / str(index),
                )
                for index, host in enumerate(started)
            ]
            terms = Terms(model=str(tiny_model), seconds=15.0, questions=12, tokens=16, judges_growth=False)
            found = await Soak(terms, daemons, tmp_path, print).run()
        finally:
            for host in started:
                await asyncio.to_thread(host.end)
    # A machine that lets a process wait for six seconds breaks links by time. That says nothing of leaks, and is a bar
    # of the long soak alone.
    assert [one for one in found.failed if "[timeout]" not in one] == []
    assert missed(replace(found, failed=())) == []
    assert all(found.counts[word] for word in ("came", "answered", "cancelled", "killed")), found.counts
    assert max(one.sessions for one in found.samples[0]) >= 2
    assert not any("Traceback" in host.stderr for host in started)
