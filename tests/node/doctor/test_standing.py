"""The service is looked at through systemd's own programs; that there is none is nothing wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.doctor import standing
from node.doctor.finding import Verdict
from node.service.installing import Service
from node.service.programs import Programs
from tests.fakes.systemd_programs import FakeSystemd


@pytest.fixture
def systemd(tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(tmp_path / "systemd", tmp_path / "units")


def service(systemd: FakeSystemd, tmp_path: Path, *, booted: bool = True) -> Service:
    programs = Programs(systemd.environ(), booted=tmp_path if booted else tmp_path / "none")
    return Service(programs, config=tmp_path)


@pytest.mark.parametrize(
    ("state", "verdict", "word"),
    [
        ({}, Verdict.OK, "no service is installed"),
        (
            {"loaded": "/u", "active": "active", "linger": "yes", "text": "serves 6:12"},
            Verdict.OK,
            "serves 6:12",
        ),
        ({"loaded": "/u", "active": "active", "linger": "no"}, Verdict.WARNING, "last login"),
        ({"loaded": "/u", "active": "inactive"}, Verdict.WARNING, "does not run"),
        ({"loaded": "/u", "active": "failed", "start": "fails"}, Verdict.PROBLEM, "could not start"),
        ({"loaded": "/u", "active": "activating", "start": "loops"}, Verdict.PROBLEM, "again"),
    ],
)
async def test_each_state_has_its_verdict(
    systemd: FakeSystemd, tmp_path: Path, state: dict[str, str], verdict: Verdict, word: str
) -> None:
    systemd.set(**state)
    found = await standing.look(service(systemd, tmp_path))
    assert found.verdict is verdict
    assert word in found.found
    assert (found.fix is None) is (verdict is Verdict.OK)


async def test_a_machine_without_systemd_is_well(systemd: FakeSystemd, tmp_path: Path) -> None:
    systemd.refuse("show", "Failed to connect to bus: No medium found")
    found = await standing.look(service(systemd, tmp_path, booted=False))
    assert found.verdict is Verdict.OK
    assert "no service" in found.found


async def test_a_systemd_that_cannot_be_reached_is_a_warning(systemd: FakeSystemd, tmp_path: Path) -> None:
    systemd.refuse("show", "Failed to connect to bus: No medium found")
    found = await standing.look(service(systemd, tmp_path))
    assert found.verdict is Verdict.WARNING
    assert "enable-linger" in (found.fix or "")
