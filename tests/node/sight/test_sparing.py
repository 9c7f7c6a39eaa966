"""What one line of the program logs too often is counted, and nothing is lost from the count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.sight.sparing import BURST, MAX_SITES, Sparing

HERE, THERE = ("a.py", 1), ("a.py", 2)


def test_a_line_logs_so_often_and_then_no_more_until_its_window_is_over() -> None:
    sparing = Sparing(burst=3, window_s=60.0)
    told = []
    for number in range(5):
        told.append(sparing.admits(HERE, 0.0))
        if told[-1]:
            sparing.keep(HERE, number)
    assert told == [True, True, True, False, False]
    assert sparing.due(59.9) == []
    (held,) = sparing.due(60.0)
    assert (held.count, held.kept) == (2, 2)
    assert sparing.admits(HERE, 60.0)


def test_lines_do_not_silence_each_other() -> None:
    sparing = Sparing(burst=1)
    assert sparing.admits(HERE, 0.0)
    assert not sparing.admits(HERE, 0.0)
    assert sparing.admits(THERE, 0.0)


def test_who_was_not_held_back_is_not_summed_up() -> None:
    sparing = Sparing(burst=1, window_s=1.0)
    assert sparing.admits(HERE, 0.0)
    assert sparing.due(5.0) == []


def test_lines_are_told_apart_only_up_to_a_bound() -> None:
    sparing = Sparing()
    for number in range(2 * MAX_SITES):
        sparing.due(0.0)
        assert sparing.admits((str(number), number), 0.0)
    assert len(sparing._windows) <= MAX_SITES + 1


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE]), st.floats(0, 40)), max_size=200))
def test_everything_is_told_or_counted(asked: list[tuple[tuple[str, int], float]]) -> None:
    sparing = Sparing(burst=BURST, window_s=60.0)
    now, told, summed = 0.0, 0, 0
    for site, passes in asked:
        now += passes
        summed += sum(held.count for held in sparing.due(now))
        told += sparing.admits(site, now)
    summed += sum(held.count for held in sparing.due(now, everything=True))
    assert told + summed == len(asked)
    assert sparing.spared == summed
