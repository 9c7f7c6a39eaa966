"""Free memory is judged by what a host takes, within the bounds of its control group."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.doctor import memory
from node.doctor.finding import Verdict
from node.planning.cost import PROCESS_BYTES

GB = 10**9


@pytest.mark.parametrize(
    ("free", "bound", "asked", "verdict"),
    [
        (16 * GB, None, None, Verdict.OK),
        (16 * GB, 300_000_000, None, Verdict.PROBLEM),
        (PROCESS_BYTES - 1, None, None, Verdict.PROBLEM),
        (1 * GB, None, None, Verdict.WARNING),
        (4 * GB, None, 8 * GB, Verdict.WARNING),
        (16 * GB, None, 8 * GB, Verdict.OK),
        (16 * GB, 4 * GB, 8 * GB, Verdict.WARNING),
    ],
)
async def test_memory_is_judged(free: int, bound: int | None, asked: int | None, verdict: Verdict) -> None:
    found = await memory.look(asked, lambda: free, lambda: bound)
    assert found.verdict is verdict
    assert (found.fix is None) is (verdict is Verdict.OK)
    assert found.facts["free_bytes"] == free


async def test_this_machines_memory_is_looked_at_in_earnest() -> None:
    assert (await memory.look(None)).facts["free_bytes"] > 0


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    inner = tmp_path / "fs" / "outer" / "inner"
    inner.mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("1:name=systemd:/x\n0::/outer/inner\n")
    fs = tmp_path / "fs"
    assert memory.cgroup_left(own, fs) is None
    for folder, most, used in ((inner, "max", "5"), (inner.parent, "100", "30")):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
    assert memory.cgroup_left(own, fs) == 70
    (inner / "memory.max").write_text("4\n")
    assert memory.cgroup_left(own, fs) == 0


@pytest.mark.parametrize("text", ["", "0::/../..\n", "rubbish"])
def test_a_group_that_cannot_be_read_has_no_bound(tmp_path: Path, text: str) -> None:
    (tmp_path / "cgroup").write_text(text)
    assert memory.cgroup_left(tmp_path / "cgroup", tmp_path / "fs") is None
    assert memory.cgroup_left(tmp_path / "none", tmp_path / "fs") is None
