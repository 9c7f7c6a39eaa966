from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store.hub_runs import MAX_GAP_BYTES, WASTE_SHARE, Run, Wanted, gather, runs
from node.store.source import Chunk

MIB = 1024 * 1024
FOUR = 4 * MIB


def at(start: int, size: int = FOUR, file: str = "a") -> Wanted:
    chunk = Chunk(digest=bytes(32), size=size, name=f"{file}{start}", offset=0)
    return Wanted(chunk=chunk, file=file, start=start)


def waste(run: Run) -> int:
    return run.stop - run.start - sum(one.chunk.size for one in run.wanted)


@st.composite
def places(draw: st.DrawFn) -> list[Wanted]:
    """Chunks of a few files, side by side or with gaps of all sizes, in any order."""
    found = []
    for file in draw(st.sampled_from(["a", "ab", "abc"])):
        start = draw(st.integers(0, 100))
        for _ in range(draw(st.integers(0, 12))):
            size = draw(st.sampled_from([1, 1000, MIB, FOUR, FOUR]))
            found.append(at(start, size, file))
            start += size + draw(
                st.sampled_from([0, 0, 0, 1, 20_000, 300_000, MAX_GAP_BYTES, MAX_GAP_BYTES + 1, 50 * MIB])
            )
    return draw(st.permutations(found))


@given(places(), st.sampled_from([1, MIB, 16 * MIB, 1 << 40]))
def test_batch_after_batch_brings_every_chunk_once_and_little_else(wanted: list[Wanted], most: int) -> None:
    left = list(wanted)
    brought: list[Wanted] = []
    wasted = 0
    while left:
        run = gather(left[0], left[1:], most)
        assert left[0] in run.wanted
        assert len({one.file for one in run.wanted}) == 1
        assert run.stop - run.start <= max(most, left[0].chunk.size)
        for one, after in zip(run.wanted, run.wanted[1:], strict=False):
            assert 0 <= after.start - one.stop <= MAX_GAP_BYTES
        assert runs(run.wanted) == [run]
        wasted += waste(run)
        brought += run.wanted
        left = [one for one in left if one not in run.wanted]
    assert sorted(brought, key=repr) == sorted(wanted, key=repr)
    assert wasted <= WASTE_SHARE * sum(one.chunk.size for one in wanted)


@given(places())
def test_any_batch_is_cut_into_runs_that_bring_all_of_it_in_its_order(batch: list[Wanted]) -> None:
    found = runs(batch)
    assert [one for run in found for one in run.wanted] == batch
    assert sum(map(waste, found)) <= WASTE_SHARE * sum(one.chunk.size for one in batch)
    for run in found:
        for one, after in zip(run.wanted, run.wanted[1:], strict=False):
            assert one.stop <= after.start


def test_neighbours_on_both_sides_come_along_in_the_order_of_their_bytes() -> None:
    row = [at(index * FOUR) for index in range(6)]
    assert gather(row[3], row, 1 << 40) == Run(wanted=tuple(row))


def test_what_comes_after_is_preferred_to_what_comes_before() -> None:
    row = [at(index * FOUR) for index in range(6)]
    assert gather(row[3], row, 2 * FOUR) == Run(wanted=(row[3], row[4]))
    assert gather(row[5], row, 2 * FOUR) == Run(wanted=(row[4], row[5]))


def test_a_gap_is_read_along_when_it_is_small_beside_what_is_wanted() -> None:
    near, far = at(FOUR + 80_000), at(FOUR + 90_000)
    assert len(gather(at(0), [near], 1 << 40).wanted) == 2
    # 2 % of two chunks are 167,772 bytes.
    assert len(gather(at(0), [at(FOUR + 167_773)], 1 << 40).wanted) == 1
    assert len(gather(at(0), [near, far], 1 << 40).wanted) == 2


def test_a_gap_over_a_mebibyte_is_not_read_however_much_is_wanted() -> None:
    first = at(0, 100 * MIB)
    assert len(gather(first, [at(101 * MIB)], 1 << 40).wanted) == 2
    assert len(gather(first, [at(101 * MIB + 1)], 1 << 40).wanted) == 1


def test_a_chunk_alone_is_taken_however_large_it_is() -> None:
    assert gather(at(0), [at(FOUR)], 10) == Run(wanted=(at(0),))


def test_a_batch_that_lost_its_middle_is_asked_for_in_two_parts() -> None:
    row = [at(0, 1000), at(1000, 500_000), at(501_000, 1000)]
    assert runs(row) == [Run(wanted=tuple(row))]
    assert runs([row[0], row[2]]) == [Run(wanted=(row[0],)), Run(wanted=(row[2],))]
