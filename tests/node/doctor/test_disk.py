"""Room, quota and the chunks themselves are looked at; no folder is made for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.doctor import disk
from node.doctor.finding import Verdict
from node.store.chunks import ChunkStore
from tests.fakes.store_worker import chunk, contents

PLENTY = 10**12


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    store = ChunkStore(tmp_path / "weights")
    with store.lease() as lease:
        lease.pin(chunk(one) for one in range(4))
        for one in range(4):
            lease.put(chunk(one), contents(one))
    return tmp_path / "weights"


async def test_a_store_that_is_not_there_is_judged_by_its_disk_and_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    found = await disk.look(folder, None)
    assert found.facts["free_bytes"] > 0
    assert not (tmp_path / "a").exists()


async def test_whole_chunks_are_read_and_well(weights: Path) -> None:
    found = await disk.look(weights, None, lambda _: (PLENTY, PLENTY))
    assert found.verdict is Verdict.OK
    assert (found.facts["chunks_read"], found.facts["chunks_damaged"]) == (4, 0)


async def test_a_damaged_chunk_is_a_problem_that_names_the_repair(weights: Path) -> None:
    path = ChunkStore(weights).path(chunk(2).digest)
    path.write_bytes(b"\0" * path.stat().st_size)
    found = await disk.look(weights, None, lambda _: (PLENTY, PLENTY))
    assert found.verdict is Verdict.PROBLEM
    assert "models --repair" in (found.fix or "")


@pytest.mark.parametrize(
    ("free", "quota", "verdict"),
    [
        (disk.NONE_BYTES - 1, None, Verdict.PROBLEM),
        (disk.LOW_BYTES - 1, None, Verdict.WARNING),
        (disk.LOW_BYTES, disk.LOW_BYTES // 2, Verdict.OK),
        (disk.LOW_BYTES, 10 * disk.LOW_BYTES, Verdict.WARNING),
    ],
)
async def test_room_is_judged_with_the_quota(
    tmp_path: Path, free: int, quota: int | None, verdict: Verdict
) -> None:
    found = await disk.look(tmp_path / "weights", quota, lambda _: (free, PLENTY))
    assert found.verdict is verdict
    assert (found.fix is None) is (verdict is Verdict.OK)


def test_a_sample_ends_in_time_but_reads_one_chunk_at_least(weights: Path) -> None:
    assert disk.sample(weights, within_s=-1).looked_at == 1


async def test_a_store_whose_folder_cannot_be_read_is_told_by_its_error(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "chunks").write_text("")
    with pytest.raises(Exception, match="cannot be used"):
        await disk.look(tmp_path / "weights", None)
