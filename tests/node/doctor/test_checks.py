"""The checks of a machine are those that the command line can name, in that order, each within a time."""

from __future__ import annotations

import os
from pathlib import Path

from node.doctor.checks import Subject, checks
from node.doctor.examining import examine
from node.doctor.finding import Verdict
from node.doctor_cli import CHECKS
from node.service.programs import Programs

WITHOUT_TORCH = frozenset(CHECKS) - {"torch build", "kernel speed"}


def subject(folder: Path) -> Subject:
    return Subject(
        identity_file=folder / "identity",
        weights=folder / "weights",
        config=folder / "config",
        socket=folder / "control.sock",
    )


def test_every_check_has_its_name_and_its_time(tmp_path: Path) -> None:
    made = checks(subject(tmp_path))
    assert tuple(one.name for one in made) == CHECKS
    assert all(0 < one.timeout_s <= 120 for one in made)


async def test_an_empty_machine_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    programs = Programs({"PATH": str(tmp_path)})
    made = [one for one in checks(subject(tmp_path), programs) if one.name in WITHOUT_TORCH]
    found = {one.name: one.finding for one in await examine(made)}
    assert set(found) == WITHOUT_TORCH
    assert {found[name].verdict for name in ("control socket", "identity", "service")} == {Verdict.OK}
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - Path.iterdir blocks no less
