from __future__ import annotations

from dataclasses import replace

from chat.route_search import Leg, Span, cheapest
from wire.types import LayerRange


def span(start: int, end: int, *, enter_ns: int = 10, layer_ns: int = 1) -> Span:
    return Span(
        layers=LayerRange(start, end),
        head=False,
        enter_ns=enter_ns,
        layer_ns=layer_ns,
        sessions=0,
    )


def legs(*parts: tuple[int, int, int]) -> list[Leg]:
    return [Leg(index, LayerRange(start, end), False) for index, start, end in parts]


def test_legs_meet_where_the_cheaper_slice_starts_or_ends() -> None:
    spans = [span(0, 6, layer_ns=9), span(4, 9)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 4), (1, 4, 9))
    spans = [span(0, 6), span(4, 9, layer_ns=9)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 6), (1, 6, 9))


def test_a_gap_has_no_way_through() -> None:
    assert cheapest([span(0, 4), span(5, 9)], LayerRange(0, 9), head=False) is None


def test_nothing_to_cover_needs_no_legs() -> None:
    assert cheapest([], LayerRange(9, 9), head=False) == []


def test_a_slice_may_be_left_and_entered_again() -> None:
    spans = [span(0, 9, layer_ns=100), span(4, 6)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 4), (1, 4, 6), (0, 6, 9))


def test_of_equally_cheap_ways_the_one_with_fewer_legs_wins() -> None:
    spans = [span(0, 4, enter_ns=0), span(4, 9, enter_ns=0), span(0, 9, enter_ns=0)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((2, 0, 9))


def test_the_head_costs_what_a_layer_costs_and_must_be_served_last() -> None:
    spans = [span(0, 9), replace(span(6, 9), head=True)]
    assert cheapest(spans, LayerRange(0, 9), head=True) == [
        Leg(0, LayerRange(0, 6), False),
        Leg(1, LayerRange(6, 9), True),
    ]


def test_many_slices_are_searched_in_bounded_time() -> None:
    spans = [span(start, end) for start in range(24) for end in range(start + 1, 25)]
    assert cheapest(spans, LayerRange(0, 24), head=False) == legs((23, 0, 24))


def test_legs_do_not_meet_within_a_stretch_that_is_not_parted() -> None:
    spans = [span(0, 6), span(4, 9, layer_ns=9)]
    joined = (LayerRange(5, 9),)
    assert cheapest(spans, LayerRange(0, 9), head=False, joined=joined) == legs((0, 0, 5), (1, 5, 9))
    assert cheapest(spans, LayerRange(0, 9), head=False, joined=(LayerRange(3, 9),)) is None
