"""A clock is believed unless it shows an impossible year, jumps, or somebody says that it is off."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from node.doctor import clock
from node.doctor.clock import Clocks
from node.doctor.finding import Verdict
from node.doctor.host import Heard, Host
from node.service.programs import Programs

NOW = 1_790_000_000.0
NOBODY = Path("/nonexistent/control.sock")


class OffsetHost(Host):
    async def heard(self) -> Heard:
        return Heard(metrics={'lamella_peer_clock_offset_seconds{of="median"}': 400.0, "other": 1.0})


def steady(start: float = NOW, jump: float = 0.0) -> Clocks:
    """Clocks that go alike, the one on the wall with a jump between its first two readings."""
    readings, ticks = count(), count()
    return Clocks(
        wall=lambda: start + (jump if next(readings) else 0.0),
        steady=lambda: float(0 * next(ticks)),
        watched_s=0,
    )


def programs(folder: Path, said: str | None) -> Programs:
    if said is not None:
        program = folder / "timedatectl"
        program.write_text(f"#!/bin/sh\necho {said}\n")
        program.chmod(0o755)
    return Programs({"PATH": str(folder)})


@pytest.mark.parametrize(
    ("said", "verdict", "word"),
    [("yes", Verdict.OK, "synchronised"), ("no", Verdict.WARNING, "not"), (None, Verdict.OK, "not told")],
)
async def test_the_systems_word_counts_where_it_has_one(
    tmp_path: Path, said: str | None, verdict: Verdict, word: str
) -> None:
    found = await clock.look(Host(NOBODY), programs(tmp_path, said), steady())
    assert found.verdict is verdict
    assert word in found.found


@pytest.mark.parametrize("year", [0.0, 5e9])
async def test_an_impossible_year_is_a_problem(tmp_path: Path, year: float) -> None:
    found = await clock.look(Host(NOBODY), programs(tmp_path, "yes"), steady(year))
    assert found.verdict is Verdict.PROBLEM
    assert "timedatectl set-ntp" in (found.fix or "")


async def test_a_jump_is_a_warning(tmp_path: Path) -> None:
    found = await clock.look(Host(NOBODY), programs(tmp_path, "yes"), steady(jump=3.0))
    assert found.verdict is Verdict.WARNING
    assert "3.00 s" in found.found


async def test_what_a_host_learnt_from_peers_is_a_problem(tmp_path: Path) -> None:
    found = await clock.look(OffsetHost(), programs(tmp_path, "yes"), steady())
    assert found.verdict is Verdict.PROBLEM
    assert "400 s" in found.found


async def test_this_machines_clock_is_looked_at_in_earnest(tmp_path: Path) -> None:
    found = await clock.look(Host(NOBODY), programs(tmp_path, None))
    assert abs(found.facts["drift_s"]) < 5
