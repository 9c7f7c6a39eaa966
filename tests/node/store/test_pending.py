from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store.pending import Pending


def test_what_fewer_hold_comes_first_and_equals_keep_their_order() -> None:
    pending = Pending(5, [[0, 1, 2, 3, 4], [0, 2], [2]])
    assert pending.first(0, 9, ()) == [1, 3, 4, 0, 2]
    assert pending.first(2, 9, ()) == [2]


def test_looking_takes_nothing() -> None:
    pending = Pending(3, [[0, 1, 2]])
    assert pending.first(0, 2, ()) == pending.first(0, 2, ()) == [0, 1]


def test_what_is_taken_is_not_offered_until_it_is_given_back() -> None:
    pending = Pending(3, [[0, 1, 2], [1]])
    pending.take(1)
    assert pending.first(0, 9, ()) == [0, 2]
    assert pending.first(1, 9, ()) == []
    for _ in range(3):
        pending.give_back(1)
    assert pending.first(0, 9, ()) == [0, 2, 1]
    assert pending.first(1, 9, ()) == [1]


def test_what_is_left_aside_is_still_there_afterwards() -> None:
    pending = Pending(3, [[0, 1, 2]])
    assert pending.first(0, 1, {0, 1}) == [2]
    assert pending.first(0, 9, ()) == [0, 1, 2]


def test_when_a_source_goes_what_it_held_is_rarer() -> None:
    pending = Pending(3, [[0, 1, 2], [0, 1], [1]])
    assert pending.first(0, 9, ()) == [2, 0, 1]
    pending.drop(1)
    assert pending.first(0, 9, ()) == [0, 2, 1]
    assert pending.first(1, 9, ()) == []
    pending.drop(0)
    assert not pending.reachable(0)
    assert pending.reachable(1)


def test_what_a_source_lost_it_is_not_asked_for() -> None:
    pending = Pending(2, [[0, 1], [0]])
    pending.lose(0, 0)
    pending.lose(0, 0)
    assert pending.first(0, 9, ()) == [1]
    assert pending.first(1, 9, ()) == [0]
    assert pending.holds(1, 0)
    assert not pending.holds(0, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "give_back", "lose", "drop"]), st.integers(0, 7), st.integers(0, 2)
        )
    )
)
def test_a_source_is_offered_exactly_what_waits_and_it_holds(steps: list[tuple[str, int, int]]) -> None:
    held = [{0, 1, 2, 3, 4, 5, 6, 7}, {0, 2, 4}, {7, 4}]
    pending = Pending(8, held)
    waiting = set(range(8))
    for what, number, source in steps:
        if what == "take":
            pending.take(number)
            waiting.discard(number)
        elif what == "give_back":
            pending.give_back(number)
            waiting.add(number)
        elif what == "lose":
            pending.lose(source, number)
            held[source].discard(number)
        else:
            pending.drop(source)
            held[source] = set()
        for one, numbers in enumerate(held):
            found = pending.first(one, 99, ())
            assert len(found) == len(set(found))
            assert set(found) == waiting & numbers
            assert all(pending.holds(one, number) for number in found)
        assert {number for number in range(8) if pending.reachable(number)} == set().union(*held)
        assert len(pending) == len(waiting)
