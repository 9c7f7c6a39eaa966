"""Which stretch one more host should take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.planning.cost import PROCESS_BYTES, Costs, Load
from node.planning.coverage import Coverage, longest, neediest, nobody, thinness, units
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange


def costs(count: int, joined: tuple[LayerRange, ...] = ()) -> Costs:
    return Costs(shape(count, 10, head_mb=5, joined=joined), WeightFormat.NATIVE, Load(context=0))


def served(count: int, *ranges: tuple[int, int]) -> Coverage:
    found = nobody(count)
    for start, end in ranges:
        found = found.joined_by(LayerRange(start, end))
    return found


def test_whoever_has_the_last_layer_has_the_head() -> None:
    assert served(3, (0, 2)).hosts == (1, 1, 0, 0)
    assert served(3, (2, 3)).hosts == (0, 0, 1, 1)
    assert (served(3, (0, 2)).uncovered, served(3, (0, 3)).uncovered) == (2, 0)
    assert served(3, (0, 3)).thinness == 4 * thinness(1) < nobody(3).thinness


def test_the_longest_stretches_leave_no_room_and_count_the_head() -> None:
    found = longest(costs(5), PROCESS_BYTES + 24 * MB)
    assert sorted(map(str, found)) == ["0:2", "1:3", "2:4", "4:5"]
    assert longest(costs(5), PROCESS_BYTES + 9 * MB) == []
    assert longest(costs(5), PROCESS_BYTES + 55 * MB) == [LayerRange(0, 5)]


def test_a_joined_stretch_is_taken_whole_or_not_at_all() -> None:
    joined = (LayerRange(1, 4),)
    assert [str(one) for one in longest(costs(6, joined), PROCESS_BYTES + 25 * MB)] == ["0:1", "4:6"]
    assert LayerRange(0, 4) in longest(costs(6, joined), PROCESS_BYTES + 40 * MB)


def choose(coverage: Coverage, *ranges: tuple[int, int]) -> str:
    return str(neediest(coverage, [LayerRange(*one) for one in ranges], tie=lambda one: one))


def test_uncovered_layers_come_first_then_few_gaps_then_thin_layers() -> None:
    assert choose(served(6, (0, 3)), (0, 3), (2, 5), (3, 6)) == "3:6"
    assert choose(nobody(6), (1, 4), (0, 3)) == "0:3"
    assert choose(served(6, (0, 6), (0, 3)), (0, 3), (3, 6)) == "3:6"
    assert neediest(nobody(2), [], tie=str) is None


def test_layers_of_slow_or_busy_hosts_are_thin() -> None:
    slow = nobody(4).joined_by(LayerRange(0, 2), 1.0).joined_by(LayerRange(2, 4), 0.5)
    assert choose(slow, (0, 2), (2, 4)) == "2:4"


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=6),
)
def test_the_sums_judge_as_looking_at_every_unit_would(
    count: int, held: list[tuple[int, int]], offered: list[tuple[int, int]]
) -> None:
    def clipped(ranges: list[tuple[int, int]]) -> list[LayerRange]:
        pairs = [sorted((min(a, count), min(b, count))) for a, b in ranges]
        return [LayerRange(a, b) for a, b in pairs if a < b]

    coverage = nobody(count)
    for one in clipped(held):
        coverage = coverage.joined_by(one)

    def judged(layers: LayerRange) -> tuple[object, ...]:
        after = coverage.joined_by(layers)
        bare = [one == 0 for one in after.hosts]
        gaps = sum(bare[at] and not (at and bare[at - 1]) for at in range(count + 1))
        return after.uncovered, gaps, round(after.thinness - coverage.thinness, 9), layers

    stretches = clipped(offered)
    found = neediest(coverage, stretches, tie=lambda one: one)
    assert found == min(stretches, key=judged, default=None)
    assert all(set(units(one, count)) for one in stretches)
