"""Which slice a joining host takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.planning.cost import PROCESS_BYTES
from node.planning.gap import (
    LEAST_CAPACITY,
    MOST_CAPACITY,
    Choice,
    Heard,
    Joining,
    Numerics,
    Unfit,
    capacity,
    choose_slice,
    coverage,
)
from tests.fakes.heard import INT8, NATIVE, heard, joining, offer, peer
from tests.fakes.shapes import MB, shape
from wire.messages.hosting import Offer
from wire.tensors import WeightFormat
from wire.types import LayerRange, ModelId

COUNT = 12


def host(layers: int, *numerics: Numerics, name: str = "me", joined: tuple[LayerRange, ...] = ()) -> Joining:
    """A host with room for so many native layers, one of which the head takes the room of."""
    model = shape(COUNT, 10, head_mb=10, joined=joined)
    return joining(name, model, PROCESS_BYTES + layers * 10 * MB, *numerics)


def chosen(joins: Joining, *others: Heard) -> Choice:
    found = choose_slice(joins, others)
    assert isinstance(found, Choice)
    assert found.memory_bytes <= joins.budget_bytes
    return found


def serves(name: str, start: int, end: int, *, step_us: int = 0, sessions: int = 0) -> Heard:
    return heard(name, offer(start, end, COUNT, step_us=step_us, sessions=sessions))


def test_the_first_host_begins_at_an_end_of_the_model() -> None:
    found = chosen(host(4))
    assert str(found.layers) in {"0:4", "9:12"}
    assert found.reason == "nobody serves this model yet, in bf16"


def test_layers_that_nobody_serves_come_first() -> None:
    found = chosen(host(4), serves("a", 0, 5), serves("b", 8, 12))
    assert found.layers.covers(LayerRange(5, 8))
    assert found.reason == f"nobody serves 3 layers of {found.layers}, in bf16"


def test_a_gap_is_closed_from_an_end_so_that_one_gap_stays_one() -> None:
    found = chosen(host(2), serves("a", 0, 3), serves("b", 9, 12))
    assert str(found.layers) in {"3:5", "7:9"}


def test_the_head_is_part_of_what_is_lacked() -> None:
    headless = heard("a", offer(0, COUNT, COUNT, head=False))
    found = chosen(host(4), headless)
    assert (str(found.layers), found.head) == ("9:12", True)
    assert found.reason.startswith("nobody serves the head of 9:12")


def test_covered_layers_are_taken_where_fewest_or_the_slowest_serve_them() -> None:
    twice = (serves("a", 0, 12), serves("b", 0, 6))
    assert chosen(host(6), *twice).layers.start >= 6
    slow = (serves("a", 0, 6, step_us=60_000), serves("b", 6, 12, step_us=14_000))
    assert chosen(host(6), *slow).layers.end <= 6
    busy = (serves("a", 0, 6), serves("b", 6, 12, sessions=30))
    assert chosen(host(7), *busy).layers.start >= 6


def test_hosts_that_join_together_do_not_all_choose_alike() -> None:
    everything = serves("a", 0, 12)
    choices = {str(chosen(host(3, name=f"h{number}"), everything).layers) for number in range(40)}
    assert len(choices) >= 4


def test_numerics_are_those_of_most_peers_and_else_the_most_wanted() -> None:
    eights = [heard(name, offer(0, 6, COUNT, numerics=INT8)) for name in "ab"]
    both = host(4, NATIVE, INT8)
    assert chosen(both).weights is WeightFormat.NATIVE
    found = chosen(both, *eights, serves("c", 6, 12))
    assert (found.weights, found.layers.start >= 4) == (WeightFormat.INT8, True)
    assert chosen(host(4, NATIVE), *eights).weights is WeightFormat.NATIVE
    assert isinstance(choose_slice(joining("me", shape(4), 1 << 40, ("f32", "x")), ()), Unfit)  # type: ignore[arg-type] # numerics that no host has


def test_a_joined_stretch_is_not_parted() -> None:
    joined = (LayerRange(3, 8),)
    assert str(chosen(host(5, joined=joined), serves("a", 0, 3), serves("b", 8, 12)).layers) == "3:8"
    assert chosen(host(4, joined=joined)).layers in (LayerRange(0, 3), LayerRange(9, 12))


def test_what_holds_no_layer_serves_nothing() -> None:
    found = choose_slice(host(0), ())
    assert isinstance(found, Unfit)
    assert "hold no layer in native weights" in found.reason


def test_offers_that_do_not_count_are_not_counted() -> None:
    mine = serves("me", 0, 12)
    leaving = heard("a", offer(0, 12, COUNT), draining=True)
    longer = heard("b", offer(0, 12, COUNT + 1))
    other = offer(0, 12, COUNT)
    elsewhere = heard(
        "c",
        Offer(
            **{name: getattr(other, name) for name in Offer.__slots__} | {"model": ModelId(bytes(31) + b"x")}
        ),
    )
    wrong = heard("d", offer(2, COUNT + 5, COUNT))
    found = choose_slice(host(4), (mine, leaving, longer, elsewhere, wrong))
    assert isinstance(found, Choice)
    assert found.reason.startswith("nobody serves this model yet")


def test_a_peer_counts_once_for_a_layer_however_often_it_says_so() -> None:
    joins = host(4)
    found = coverage(joins, [serves("a", 0, 6), serves("a", 3, 9), serves("b", 0, 1)], NATIVE)
    assert found.hosts == (2, *[1] * 8, 0, 0, 0, 0)


def test_what_a_peer_says_of_its_speed_counts_within_bounds() -> None:
    assert capacity(offer(0, 4, COUNT, step_us=1)) == MOST_CAPACITY
    assert capacity(offer(0, 4, COUNT, step_us=1 << 32)) == LEAST_CAPACITY
    assert capacity(offer(0, 4, COUNT)) == 1.0
    assert capacity(offer(0, 4, COUNT, sessions=8)) == 0.5


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_hosts_that_join_one_after_another_cover_all_that_their_memory_can(sizes: list[int]) -> None:
    """Nothing is held twice while something is not held at all, but for what the last host of a gap has too much."""
    there: list[Heard] = []
    for number, size in enumerate(sizes):
        joins = host(size, name=f"h{number}")
        found = choose_slice(joins, there)
        if isinstance(found, Choice):
            there.append(serves(f"h{number}", found.layers.start, found.layers.end))
    covered = coverage(host(4), there, NATIVE)
    held = sum(min(size, COUNT + 1) for size in sizes)
    # One unit of slack a host: the room of a head alone takes no layer, and layers do not part.
    assert covered.uncovered <= max(0, COUNT + 1 - held + sum(size == 1 for size in sizes))
    assert peer("a") != peer("b")
