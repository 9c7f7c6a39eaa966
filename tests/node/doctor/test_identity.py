"""The identity file is looked at and never made, mended or told."""

from __future__ import annotations

from pathlib import Path

from node import keyfile
from node.doctor import identity
from node.doctor.finding import Verdict


async def test_a_missing_identity_is_well_and_stays_missing(tmp_path: Path) -> None:
    path = tmp_path / "data" / "identity"
    found = await identity.look(path)
    assert found.verdict is Verdict.OK
    assert found.facts["exists"] is False
    assert not path.parent.exists()


async def test_a_whole_one_is_told_by_its_short_id_alone(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    made = keyfile.load_or_create(path)
    found = await identity.look(path)
    assert found.verdict is Verdict.OK
    assert found.facts["peer"] == made.peer_id.short
    assert path.read_text().split()[-1] not in str(found)


async def test_one_that_others_can_read_or_that_is_damaged_is_a_problem_with_its_fix(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    keyfile.load_or_create(path)
    path.chmod(0o644)
    found = await identity.look(path)
    assert found.verdict is Verdict.PROBLEM
    assert "chmod 600" in (found.fix or "")
    path.chmod(0o600)
    path.write_text("lamella-identity-1 rubbish\n")
    assert (await identity.look(path)).verdict is Verdict.PROBLEM
