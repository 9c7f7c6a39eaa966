"""When a host may leave its slice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.planning.cost import PROCESS_BYTES
from node.planning.coverage import units
from node.planning.gap import Choice, Heard, Joining
from node.planning.moving import ROUND_S, STAY_ROUNDS, Move, Stay, rank, round_of, should_move
from tests.fakes.heard import INT8, NATIVE, heard, joining, of_choice, offer, peer
from tests.fakes.shapes import MB, shape
from wire.types import LayerRange

COUNT = 12
MODEL = shape(COUNT, 10, head_mb=10)


def host(name: str | int, layers: int = 4) -> Joining:
    return joining(name, MODEL, PROCESS_BYTES + layers * 10 * MB)


def at(start: int, end: int) -> Choice:
    return Choice(
        layers=LayerRange(start, end),
        head=end == COUNT,
        dtype=NATIVE[0],
        weights=NATIVE[1],
        memory_bytes=1,
        reason="it was there",
    )


def serves(name: str, start: int, end: int) -> Heard:
    return heard(name, offer(start, end, COUNT))


def round_for(*names: str) -> int:
    """An even round in which the first of these peers is the lowest."""
    return next(
        number
        for number in range(100, 10_000, 2)
        if all(rank(peer(names[0]), number) < rank(peer(name), number) for name in names[1:])
    )


def decide(start: int, end: int, *others: Heard, number: int, since: int = 0) -> Move | Stay:
    return should_move(host("me"), at(start, end), others, number=number, since=since)


GAP = (serves("a", 0, 8), serves("me", 0, 4))


def test_a_host_moves_to_a_gap_when_others_have_its_layers() -> None:
    decided = decide(0, 4, *GAP, number=round_for("me", "a"))
    assert isinstance(decided, Move)
    assert decided.choice.layers == LayerRange(9, 12)
    assert decided.reason.endswith("its layers 0:4 have others")


def test_only_the_lowest_of_those_that_have_a_layer_may_leave_it() -> None:
    decided = decide(0, 4, *GAP, number=round_for("a", "me"))
    assert decided == Stay(reason="another host of its layers may move first")


def test_nobody_leaves_a_layer_that_no_other_has() -> None:
    others = (serves("a", 1, 8),)
    assert decide(0, 4, *others, number=round_for("me", "a")) == Stay(reason="no other host has layer 0")
    leaving = (heard("a", offer(0, 8, COUNT), draining=True), serves("b", 1, 8))
    assert isinstance(decide(0, 4, *leaving, number=round_for("me", "a", "b")), Stay)


def test_the_head_is_not_left_without_a_host() -> None:
    headless = heard("a", offer(4, 12, COUNT, head=False))
    decided = decide(9, 12, headless, number=round_for("me", "a"))
    assert decided == Stay(reason="no other host has the head")


def test_moves_begin_in_even_rounds_and_not_soon_after_another() -> None:
    number = round_for("me", "a")
    assert decide(0, 4, *GAP, number=number + 1) == Stay(reason="moves begin in even rounds")
    soon = number - STAY_ROUNDS + 1
    assert "a short while ago" in str(decide(0, 4, *GAP, number=number, since=soon))
    assert isinstance(decide(0, 4, *GAP, number=number, since=soon - 1), Move)


def test_a_move_that_fills_no_gap_needs_more_gain_and_more_hosts() -> None:
    whole = serves("a", 0, 12)
    few = decide(0, 4, whole, serves("b", 0, 4), number=round_for("me", "a", "b"))
    assert isinstance(few, Move)
    alone = decide(0, 4, whole, number=round_for("me", "a"))
    assert isinstance(alone, Stay)
    spread = [serves(f"w{number}", 0, 12) for number in range(4)]
    even = decide(0, 4, *spread, number=round_for("me", "w0", "w1", "w2", "w3"))
    assert even in (Stay(reason="too little would be gained"), Stay(reason="nowhere is it needed more"))


def test_a_host_does_not_move_to_other_numerics() -> None:
    both = joining("me", MODEL, PROCESS_BYTES + 40 * MB, NATIVE, INT8)
    eights = [heard(name, offer(4, 12, COUNT, numerics=INT8)) for name in "bcd"]
    others = [serves("a", 0, 4), *eights]
    decided = should_move(both, at(0, 4), others, number=round_for("me", "a"), since=0)
    assert "needs a restart" in decided.reason


def test_rounds_are_the_same_for_all_who_share_a_clock() -> None:
    assert (round_of(0.0), round_of(ROUND_S - 1), round_of(ROUND_S)) == (0, 0, 1)


@settings(max_examples=150)
@given(st.data())
def test_no_layer_is_left_by_all_whoever_sees_whom(data: st.DataObject) -> None:
    """Each host sees some of the others, all of them where they are; then all that may move leave at once."""
    count = data.draw(st.integers(2, 9))
    number = 2 * data.draw(st.integers(50, 5_000))
    placed: dict[int, Choice] = {}
    for name in range(count):
        start = data.draw(st.integers(0, COUNT - 1))
        placed[name] = at(start, data.draw(st.integers(start + 1, COUNT)))
    staying: list[Choice] = []
    for name, current in placed.items():
        seen = [other for other in placed if other != name and data.draw(st.booleans())]
        view = [of_choice(other, placed[other], COUNT) for other in seen]
        me = host(name, data.draw(st.integers(1, 8)))
        # Whoever moves serves nothing until it has loaded.
        if isinstance(should_move(me, current, view, number=number, since=0), Stay):
            staying.append(current)
    assert _units(list(placed.values())) == _units(staying)


def _units(choices: list[Choice]) -> set[int]:
    return {unit for one in choices for unit in units(one.layers, COUNT)}
