"""Two ends of a circuit: every byte in order, and never more under way than the window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import limits
from wire.circuit import Flow
from wire.errors import BadMessage

WINDOW, PIECE = limits.RELAY_WINDOW_BYTES, limits.RELAY_DATA_BYTES


@given(st.lists(st.binary(max_size=3 * PIECE), max_size=12), st.integers(1, 40))
def test_all_bytes_arrive_in_order_and_the_window_holds(writes: list[bytes], batch: int) -> None:
    sender, receiver = Flow(), Flow()
    under_way: list[bytes] = []
    arrived = b""
    for data in writes:
        sender.write(data)
    while sender.pending_bytes or under_way:
        pieces = [bytes(one) for one in sender.pieces()]
        under_way += pieces
        assert sum(map(len, under_way)) <= WINDOW
        assert all(0 < len(one) <= PIECE for one in pieces)
        for piece in under_way[:batch]:
            arrived += piece
            sender.on_credit(receiver.on_data(len(piece)))
        del under_way[:batch]
    assert arrived == b"".join(writes)


def test_a_reader_that_stops_stops_the_writer() -> None:
    flow = Flow()
    flow.write(bytes(3 * WINDOW))
    assert sum(map(len, flow.pieces())) == WINDOW
    assert flow.pieces() == []
    assert flow.pending_bytes == 2 * WINDOW
    flow.on_credit(10)
    assert [len(one) for one in flow.pieces()] == [10]


def test_more_data_than_credit_is_a_violation() -> None:
    flow = Flow()
    for size in (0, PIECE + 1):
        with pytest.raises(BadMessage):
            flow.on_data(size)
    with pytest.raises(BadMessage):
        for _ in range(WINDOW // PIECE + 1):
            # Nothing of what it says is told to the other end, so that no credit comes back.
            flow._untold = 0
            flow.on_data(PIECE)


def test_credit_for_what_was_never_sent_is_a_violation() -> None:
    flow = Flow()
    with pytest.raises(BadMessage):
        flow.on_credit(1)
    flow.write(bytes(10))
    flow.pieces()
    flow.on_credit(10)
    with pytest.raises(BadMessage):
        flow.on_credit(1)
