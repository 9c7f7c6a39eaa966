"""What hosts announce becomes what there is and what is missing, whatever some of them claim."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chat.coverage import ModelView, bar, view
from crypto.identity import Identity
from wire.records import IndexRecord, Lifetime, SliceRecord
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId

MODEL = ModelId(bytes(32))
LIFE = Lifetime(sequence=1, issued=1_000, expires=1_600)


def key(number: int) -> bytes:
    return Identity.from_seed(bytes([number]) * 32).public_key


def slice_of(number: int, start: int, end: int, *, head: bool = False, num_layers: int = 24) -> SliceRecord:
    return SliceRecord(
        model=MODEL,
        host=key(number),
        layers=LayerRange(start, end),
        head=head,
        num_layers=num_layers,
        addresses=(Address("192.0.2.1", 7311),),
        lifetime=LIFE,
        dtype=DType.BFLOAT16,
        sessions=2,
        step_us=1_500,
    )


def named(number: int, name: str, num_layers: int = 24) -> IndexRecord:
    return IndexRecord(model=MODEL, host=key(number), name=name, num_layers=num_layers, lifetime=LIFE)


def test_gaps_and_copies_are_counted() -> None:
    found = view(
        MODEL,
        [named(1, "pocket"), named(2, "pocket"), named(3, "poc ket")],
        [slice_of(1, 2, 10), slice_of(2, 6, 12), slice_of(3, 14, 24, head=True)],
    )
    assert (found.name, found.num_layers, found.peers, found.sessions) == ("pocket", 24, 3, 6)
    assert [str(gap) for gap in found.gaps] == ["0:2", "12:14"]
    assert (found.heads, found.least, found.front_layers, found.is_whole) == (1, 1, 2, False)
    assert bar(found, 24) == "..1111222211..1111111111"
    # Four layers a character, and the fewest hosts of any of them.
    assert bar(found, 6) == ".11.11"
    assert found.hosts[0].step_ms == 1.5


def test_a_model_without_its_first_layers_is_whole_for_clients_that_keep_them() -> None:
    found = view(MODEL, [named(1, "pocket")], [slice_of(1, 1, 24, head=True)])
    assert found.is_whole
    assert found.front_layers == 1
    assert not view(MODEL, [named(1, "pocket")], [slice_of(1, 1, 24)]).is_whole
    assert not view(MODEL, [named(1, "pocket")], []).is_whole


def test_who_contradicts_most_about_the_layers_is_left_out() -> None:
    found = view(
        MODEL,
        [named(1, "a", 99)],
        [slice_of(1, 0, 24), slice_of(2, 0, 24), slice_of(3, 0, 99, num_layers=99)],
    )
    assert found.num_layers == 24
    assert found.peers == 2


def test_several_shards_of_one_slice_are_one() -> None:
    one = slice_of(1, 0, 20)
    found = view(MODEL, [], [one, replace(one, shard=1), replace(one, shard=2)])
    assert len(found.hosts) == 1


def test_numerics_are_listed_since_a_route_keeps_to_one() -> None:
    found = view(MODEL, [], [slice_of(1, 0, 9), replace(slice_of(2, 0, 9), weights=WeightFormat.INT8)])
    assert found.numerics == ("bf16", "bf16/int8")


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 24), st.integers(0, 24)), max_size=8),
    st.integers(1, 60),
)
def test_every_layer_is_held_or_in_a_gap(stretches: list[tuple[int, int, int]], width: int) -> None:
    records = [slice_of(number, min(a, b), max(a, b)) for number, a, b in stretches if a != b]
    found: ModelView = view(MODEL, [named(9, "x")], records)
    for layer in range(24):
        held = any(layer in one.layers for one in records)
        assert held != any(layer in gap for gap in found.gaps)
    assert len(bar(found, width)) == min(width, 24)
    assert ("." in bar(found, 24)) == bool(found.gaps)
