"""What a running host says is asked once, and judged; that none runs is nothing wrong."""

from __future__ import annotations

import socket
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest

from node.control.arguments import NoArguments
from node.control.results import Metrics, SliceState, Status
from node.doctor import host
from node.doctor.finding import Verdict
from node.doctor.host import Host
from tests.fakes.control import STATUS, IdleHost, serving, short_folder


class TellingHost(IdleHost):
    """A host of this version that says what it is told to."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.answer = replace(STATUS, version=version("lamella"), **changes)
        self.times = 0

    async def status(self, arguments: NoArguments, tell: Any) -> Status:
        self.times += 1
        return self.answer

    async def metrics(self, arguments: NoArguments, tell: Any) -> Metrics:
        return Metrics(values={"lamella_links": 2.0})


async def test_a_host_that_serves_is_well_and_asked_once() -> None:
    told = TellingHost()
    async with serving(told) as server:
        asked = Host(server.path)
        found = await host.look(asked)
        assert found.verdict is Verdict.OK
        assert found.facts["pid"] == STATUS.pid
        assert dict((await asked.heard()).metrics) == {"lamella_links": 2.0}
        assert told.times == 1


async def test_no_host_is_nothing_wrong() -> None:
    with short_folder() as folder:
        found = await host.look(Host(folder / "control.sock"))
    assert (found.verdict, found.facts) == (Verdict.OK, {"running": False})


async def test_a_failed_slice_is_a_problem_and_another_version_a_warning() -> None:
    lost = replace(STATUS.slices[0], state=SliceState.FAILED, detail="no memory")
    async with serving(TellingHost(slices=(lost,))) as server:
        found = await host.look(Host(server.path))
    assert found.verdict is Verdict.PROBLEM
    assert "no memory" in found.found
    older = TellingHost()
    older.answer = replace(older.answer, version="0.0.1")
    async with serving(older) as server:
        found = await host.look(Host(server.path))
    assert found.verdict is Verdict.WARNING
    assert "restart" in (found.fix or "")


async def test_a_host_without_metrics_is_heard_all_the_same() -> None:
    async with serving(IdleHost()) as server:
        heard = await Host(server.path).heard()
    assert heard.status == STATUS
    assert heard.metrics == {}


async def test_a_host_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_ANSWER_S", 0.05)
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "control.sock"))
        silent.listen(1)
        found = await host.look(Host(folder / "control.sock"))
    assert found.verdict is Verdict.PROBLEM
    assert found.fix
