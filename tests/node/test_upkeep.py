"""What goes on beside serving begins and ends with the host, and a configuration that changes holds at once."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from node import upkeep as module
from node.changes import Changes
from node.manners.hours import Hours
from node.service.notify import Notifier
from node.settings import RELOADABLE
from node.sight.watch import Watch
from node.supervising import PartGaveUp, RestartTerms, Supervisor
from node.upkeep import Reporting, _appliers, _terms, kept_up
from tests.fakes.deadline import until
from tests.node.test_seeing import Bench
from wire.contacts import Contact


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    async with made.keeper:
        await made.keeper.recover([])
        yield made


def reporting(bench: Bench, address: str | None = None) -> Reporting:
    return Reporting(logs=bench.logs, notifier=Notifier(address))


async def test_each_setting_that_the_table_calls_reloadable_can_be_applied(bench: Bench) -> None:
    class Watching:
        def change(self, terms: object) -> None:
            """Terms are looked at elsewhere."""

    appliers = _appliers(bench.parts, bench.commands, Watching())  # type: ignore[arg-type]  # as much as is needed
    assert appliers.keys() == RELOADABLE


async def test_what_changes_in_the_configuration_holds_at_once(bench: Bench) -> None:
    level = logging.getLogger().level
    told: list[tuple[Contact, ...]] = []
    bench.parts.presence.add_contacts = told.append  # type: ignore[method-assign,assignment]  # a fake's
    config = replace(
        bench.parts.config,
        max_sessions=3,
        tokens_per_peer=1000,
        grace_s=9.0,
        drain_grace_s=60.0,
        log_level="error",
        busy_above=0.5,
        upload_bytes_per_s=300_000,
    )
    try:
        async with kept_up(bench.parts, bench.commands, reporting(bench), lambda: config):
            changed: Changes = await bench.commands.reloaded()
            assert set(changed.applied) == {
                "max-sessions",
                "tokens-per-peer",
                "grace",
                "drain-grace",
                "log-level",
                "busy-above",
                "upload-rate",
            }
            assert bench.parts.traffic.pacer.upload.rate_bytes_per_s == 300_000
            assert bench.parts.host.admission.max_sessions == 3
            assert (bench.commands.stop_grace_s, bench.commands.drain_grace_s) == (9.0, 60.0)
            assert logging.getLogger().level == logging.ERROR
            assert bench.commands.measured()
    finally:
        logging.getLogger().setLevel(level)


async def test_outside_its_hours_a_host_takes_no_new_sessions_and_says_why(bench: Bench) -> None:
    bench.commands.is_ready = True
    await bench.join()
    # Two minutes that are twelve hours away.
    hour = (time.localtime().tm_hour + 12) % 24
    object.__setattr__(bench.parts.config, "hours", Hours.parse(f"{hour:02}:00-{hour:02}:02"))
    async with kept_up(bench.parts, bench.commands, reporting(bench), None):
        await until(lambda: bench.commands.held_back() is not None)
        await until(lambda: bench.commands.state.value == "paused")
    assert _terms(bench.parts.config).hours is not None


async def test_systemd_is_told_what_the_host_does_whenever_that_changes(bench: Bench, tmp_path: Path) -> None:
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "n"))

        def said(text: str) -> bool:
            with suppress(BlockingIOError):
                heard.extend(listener.recv(4096).decode().splitlines())
            return any(line.startswith("STATUS=") and text in line for line in heard)

        async with kept_up(
            bench.parts, bench.commands, reporting(bench, str(tmp_path / "n")), None
        ) as upkeep:
            await until(lambda: said("getting ready"))
            bench.commands.is_ready = True
            await until(lambda: said("serves nothing"))
            await bench.join()
            await until(lambda: said("serves m 0:2"))
            assert upkeep.sentence().startswith("serves m 0:2")
            upkeep.notifier.close()


async def test_a_part_that_fails_too_often_is_told_and_raised_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr(Watch, "run", broken)
    monkeypatch.setattr(module, "Supervisor", partial(Supervisor, terms=RestartTerms(failures=1)))
    failed = asyncio.Event()
    with pytest.raises(PartGaveUp, match="watch failed 1 times"):
        async with kept_up(bench.parts, bench.commands, reporting(bench), None, on_failure=failed.set):
            await asyncio.wait_for(failed.wait(), 20)
    failed.clear()
    monkeypatch.undo()
    async with kept_up(bench.parts, bench.commands, reporting(bench), None, on_failure=failed.set):
        await asyncio.sleep(0)
    assert not failed.is_set()
