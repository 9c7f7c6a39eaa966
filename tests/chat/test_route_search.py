from __future__ import annotations

from dataclasses import replace

from chat.route_search import Leg, Span, cheapest
from wire.types import LayerRange


def span(owner: int, start: int, end: int, *, enter_ns: int = 10, layer_ns: int = 1, most: int = 99) -> Span:
    return Span(
        owner=owner,
        layers=LayerRange(start, end),
        head=False,
        most_layers=most,
        enter_ns=enter_ns,
        layer_ns=layer_ns,
        sessions=0,
    )


def legs(*parts: tuple[int, int, int]) -> list[Leg]:
    return [Leg(index, LayerRange(start, end), False) for index, start, end in parts]


def test_legs_meet_where_the_cheaper_slice_starts_or_ends() -> None:
    spans = [span(0, 0, 6, layer_ns=9), span(1, 4, 9)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 4), (1, 4, 9))
    spans = [span(0, 0, 6), span(1, 4, 9, layer_ns=9)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 6), (1, 6, 9))


def test_a_gap_has_no_way_through() -> None:
    assert cheapest([span(0, 0, 4), span(1, 5, 9)], LayerRange(0, 9), head=False) is None


def test_nothing_to_cover_needs_no_legs() -> None:
    assert cheapest([], LayerRange(9, 9), head=False) == []


def test_an_owner_serves_two_legs_only_when_it_may() -> None:
    spans = [span(0, 0, 9, layer_ns=100), span(1, 4, 6)]
    assert cheapest(spans, LayerRange(0, 9), head=False, repeat=True) == legs((0, 0, 4), (1, 4, 6), (0, 6, 9))
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 9))


def test_a_limited_leg_may_end_between_the_bounds_of_all_slices() -> None:
    spans = [span(0, 0, 9, most=5), span(1, 0, 9, layer_ns=50)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((0, 0, 5), (1, 5, 9))


def test_of_equally_cheap_ways_the_one_with_fewer_legs_wins() -> None:
    spans = [span(0, 0, 4, enter_ns=0), span(1, 4, 9, enter_ns=0), span(2, 0, 9, enter_ns=0)]
    assert cheapest(spans, LayerRange(0, 9), head=False) == legs((2, 0, 9))


def test_the_head_costs_what_a_layer_costs_and_must_be_served_last() -> None:
    spans = [span(0, 0, 9), replace(span(1, 6, 9), head=True)]
    assert cheapest(spans, LayerRange(0, 9), head=True) == [
        Leg(0, LayerRange(0, 6), False),
        Leg(1, LayerRange(6, 9), True),
    ]


def test_offers_made_to_collide_are_given_up_after_a_bounded_search() -> None:
    # One owner fewer than stretches, all alike: every order of every subset is a way that fails only at the end.
    spans = [span(owner, layer, layer + 1) for owner in range(19) for layer in range(20)]
    assert cheapest(spans, LayerRange(0, 20), head=False) is None
    dear = span(19, 0, 20, enter_ns=10_000)
    assert cheapest([*spans, dear], LayerRange(0, 20), head=False) == legs((len(spans), 0, 20))
