"""What was seen of a ring, against a ring of a few positions that is marked one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.dht.arcs import ROUND, Arcs

STEP = ROUND // 16
ARCS = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15) | st.none()), max_size=12)


@given(ARCS)
def test_the_largest_gap_is_that_of_a_marked_ring(arcs: list[tuple[int, int | None]]) -> None:
    seen = Arcs()
    marked = [False] * 16
    for start, end in arcs:
        seen.cover(start * STEP, None if end is None else end * STEP)
        # An arc that ends where it begins is the whole ring but for nothing: it goes round.
        length = 16 if end is None or start == end else (end - start) % 16
        for step in range(length):
            marked[(start + step) % 16] = True
    gap = seen.largest_gap()
    runs = [
        next(
            length
            for length in range(16, -1, -1)
            if not any(marked[(at + one) % 16] for one in range(length))
        )
        for at in range(16)
    ]
    if max(runs) == 0:
        assert gap is None
    else:
        assert gap is not None
        start, length = gap
        assert length == max(runs) * STEP
        assert runs[start // STEP] == max(runs)


def test_a_ring_of_which_nothing_was_seen_is_one_gap() -> None:
    assert Arcs().largest_gap() == (0, ROUND)
