from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.errors import NoRoute
from chat.route import BUSY_PER_SESSION, DEFAULT_LAYER_US, Candidate, Need, Route, plan
from crypto.identity import PeerId
from wire.messages.hosting import Offer
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

MODEL = ModelId(bytes(32))
LAYERS = 12


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 32)


def offers(layers: str, *, num_layers: int = LAYERS, head: bool | None = None) -> Offer:
    held = LayerRange.parse(layers)
    return Offer(
        model=MODEL,
        name="pocket",
        layers=held,
        head=held.end == num_layers if head is None else head,
        num_layers=num_layers,
        dtype=DType.BFLOAT16,
        max_positions=4096,
        free_kv_bytes=1 << 30,
        sessions=0,
        step_us=1_000 * len(held),
    )


def host(number: int, offer: Offer, *, link_ms: float = 1.0, draining: bool = False) -> Candidate:
    return Candidate(
        peer=peer(number),
        address=Address("127.0.0.1", 7000 + number),
        offer=offer,
        link_s=link_ms / 1e3,
        draining=draining,
    )


def need(layers: str = "1:12", *, private_ends: bool = False) -> Need:
    return Need(model=MODEL, layers=LayerRange.parse(layers), private_ends=private_ends, positions=1024)


def shape(route: Route) -> list[tuple[int, str]]:
    return [(hop.peer.raw[0], str(hop.layers)) for hop in route.hops]


def test_slices_that_meet_make_a_route_whose_last_hop_is_the_tail() -> None:
    route = plan([host(2, offers("6:12")), host(1, offers("0:6"))], need())
    assert shape(route) == [(1, "1:6"), (2, "6:12")]
    assert [hop.tail for hop in route.hops] == [False, True]
    assert route.front == LayerRange(0, 1)


def test_overlapping_slices_make_a_route_that_covers_every_layer_once() -> None:
    route = plan([host(1, offers("0:8")), host(2, offers("4:12"))], need())
    assert [str(hop.layers) for hop in route.hops] in (["1:8", "8:12"], ["1:4", "4:12"])


def test_the_faster_of_two_overlapping_hosts_computes_the_layers_both_hold() -> None:
    slow, fast = replace(offers("0:8"), step_us=80_000), replace(offers("4:12"), step_us=900)
    assert shape(plan([host(1, slow), host(2, fast)], need())) == [(1, "1:4"), (2, "4:12")]


def test_one_host_that_holds_everything_beats_many_that_are_as_fast() -> None:
    candidates = [host(1, offers("0:6")), host(2, offers("6:12")), host(3, offers("0:12"))]
    assert shape(plan(candidates, need())) == [(3, "1:12")]


def test_when_nothing_is_measured_to_differ_the_fewest_hops_win() -> None:
    free = [
        host(1, offers("0:6"), link_ms=0),
        host(2, offers("6:12"), link_ms=0),
        host(3, offers("0:12"), link_ms=0),
    ]
    same = [replace(each, offer=replace(each.offer, step_us=0)) for each in free]
    assert shape(plan(same, need())) == [(3, "1:12")]


def test_the_nearer_of_two_equal_hosts_is_taken() -> None:
    assert shape(plan([host(1, offers("0:12"), link_ms=9), host(2, offers("0:12"))], need())) == [(2, "1:12")]


def test_the_idler_of_two_equal_hosts_is_taken() -> None:
    busy = replace(offers("0:12"), sessions=3)
    assert shape(plan([host(1, busy), host(2, offers("0:12"))], need())) == [(2, "1:12")]


def test_the_expected_step_is_the_links_and_the_part_of_each_slice_that_is_used() -> None:
    whole = replace(offers("0:12"), step_us=13_000, sessions=2)
    route = plan([host(1, whole, link_ms=5)], need("6:12"))
    assert route.step_s == pytest.approx(0.005 + 0.007 * (1 + 2 * BUSY_PER_SESSION))


def test_a_host_that_has_not_measured_is_taken_at_the_usual_speed() -> None:
    route = plan([host(1, replace(offers("0:12"), step_us=0), link_ms=0)], need("6:12"))
    assert route.step_s == pytest.approx(7 * DEFAULT_LAYER_US / 1e6)


def test_private_ends_need_no_head_and_have_no_tail() -> None:
    route = plan([host(1, offers("0:12", head=False))], need(private_ends=True))
    assert [hop.tail for hop in route.hops] == [False]
    assert route.private_ends


def test_a_client_that_computes_everything_needs_no_hop() -> None:
    assert plan([], need("12:12", private_ends=True)).hops == ()


def test_a_client_that_computes_all_layers_still_finds_a_host_for_the_head() -> None:
    route = plan([host(1, offers("6:12"))], need("12:12"))
    assert shape(route) == [(1, "12:12")]
    assert route.hops[0].tail


def test_a_slice_of_nothing_but_the_head_can_be_the_tail() -> None:
    candidates = [host(1, offers("0:12", head=False)), host(2, replace(offers("12:12"), step_us=500))]
    assert shape(plan(candidates, need())) == [(1, "1:12"), (2, "12:12")]


def test_a_slice_with_layers_is_not_reduced_to_its_head() -> None:
    slow = replace(offers("6:12"), step_us=700_000)
    route = plan([host(1, offers("0:12", head=False)), host(2, slow)], need())
    assert shape(route) == [(1, "1:11"), (2, "11:12")]


def test_a_host_with_two_slices_may_carry_two_hops() -> None:
    two = [host(1, offers("0:4")), host(1, offers("8:12"))]
    others = [host(2, offers("4:8")), host(3, offers("0:8"), link_ms=500)]
    assert shape(plan([*two, *others], need())) == [(1, "1:4"), (2, "4:8"), (1, "8:12")]
    assert shape(plan([host(1, offers("0:6")), host(1, offers("6:12"))], need())) == [(1, "1:6"), (1, "6:12")]


def test_a_hop_takes_no_more_layers_than_its_host_has_memory_for() -> None:
    tight = replace(offers("0:12", head=False), free_kv_bytes=4_000)
    roomy = replace(offers("2:12"), step_us=99_000)
    wanted = replace(need(), kv_bytes_per_layer=1_000)
    assert shape(plan([host(1, tight), host(2, roomy)], wanted)) == [(1, "1:5"), (2, "5:12")]


def test_missing_layers_are_named_exactly() -> None:
    with pytest.raises(NoRoute, match=r"holds layers 4:6 and 9:10; layers 1:12 are needed") as caught:
        plan([host(1, offers("0:4")), host(2, offers("6:9")), host(3, offers("10:12"))], need())
    assert caught.value.missing == (LayerRange(4, 6), LayerRange(9, 10))


def test_a_missing_head_is_named_apart_from_missing_layers() -> None:
    with pytest.raises(NoRoute, match=r"holds the head \(final norm and lm_head\)") as caught:
        plan([host(1, offers("0:12", head=False))], need())
    assert caught.value.missing == ()


def test_draining_hosts_are_not_used_and_named_as_the_reason() -> None:
    leaving = host(2, offers("6:12"), draining=True)
    with pytest.raises(NoRoute, match=r"about to stop hold layers 6:12 and the head") as caught:
        plan([host(1, offers("0:6")), leaving], need())
    assert caught.value.missing == (LayerRange(6, 12),)


def test_numerics_that_were_not_asked_for_are_named_as_the_reason() -> None:
    with pytest.raises(NoRoute, match=r"compute in other numerics hold layers 1:12.*--dtype"):
        plan([host(1, offers("0:12"))], replace(need(), dtype=DType.FLOAT32))


def test_mixed_numerics_need_to_be_allowed() -> None:
    mixed = [host(1, offers("0:6")), host(2, replace(offers("6:12"), dtype=DType.FLOAT32))]
    with pytest.raises(NoRoute, match="only by mixing bf16 and f32"):
        plan(mixed, need())
    assert shape(plan(mixed, replace(need(), mixed_numerics=True))) == [(1, "1:6"), (2, "6:12")]


def test_too_long_a_context_is_named_as_the_reason() -> None:
    with pytest.raises(NoRoute, match=r"cannot hold a context this long hold layers 6:12.*--context"):
        plan([host(1, offers("0:6")), host(2, replace(offers("6:12"), max_positions=512))], need())


def test_too_little_memory_is_named_as_the_reason() -> None:
    full = replace(offers("6:12"), free_kv_bytes=10)
    with pytest.raises(NoRoute, match="too little KV memory left hold layers 6:12"):
        plan([host(1, offers("0:6")), host(2, full)], replace(need(), kv_bytes_per_layer=1_000))


def test_memory_that_runs_out_part_way_is_named_as_the_reason() -> None:
    tight = replace(offers("0:12"), free_kv_bytes=4_000)
    with pytest.raises(NoRoute, match="too little KV memory left hold layers 1:12"):
        plan([host(1, tight)], replace(need(), kv_bytes_per_layer=1_000))


def test_hosts_of_other_models_are_listed_without_control_characters() -> None:
    other = replace(offers("0:12"), model=ModelId(b"\1" * 32), name="evil\x1b[2J")
    with pytest.raises(NoRoute, match=r"serves this model; they serve evil\[2J\."):
        plan([host(1, other)], need())


def test_an_offer_that_disagrees_about_the_length_of_the_model_is_left_out() -> None:
    with pytest.raises(NoRoute, match="serves this model"):
        plan([host(1, offers("0:12", num_layers=24, head=True))], need())


def test_many_contrived_offers_are_answered_in_bounded_time() -> None:
    candidates = [host(1 + n, offers(f"{n % 12}:12", head=False), link_ms=0) for n in range(200)]
    with pytest.raises(NoRoute, match="head"):
        plan(candidates, need())


# Properties, against every route there is.

LENGTH = 5


@st.composite
def swarms(draw: st.DrawFn) -> list[Candidate]:
    candidates = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, LENGTH))
        end = draw(st.integers(start, LENGTH))
        offer = replace(
            offers(f"{start}:{end}", num_layers=LENGTH, head=end == LENGTH and draw(st.booleans())),
            dtype=draw(st.sampled_from((DType.BFLOAT16, DType.BFLOAT16, DType.FLOAT32))),
            step_us=draw(st.integers(0, 9)) * 1_000,
            sessions=draw(st.integers(0, 2)),
            free_kv_bytes=draw(st.sampled_from((0, 1_000, 2_000, 1 << 30))),
        )
        one = host(draw(st.integers(1, 4)), offer, link_ms=draw(st.integers(0, 5)))
        candidates.append(replace(one, draining=draw(st.integers(0, 9)) == 0))
    return candidates


needs = st.builds(
    Need,
    model=st.just(MODEL),
    layers=st.integers(0, LENGTH).map(lambda start: LayerRange(start, LENGTH)),
    private_ends=st.booleans(),
    mixed_numerics=st.booleans(),
    positions=st.just(1024),
    kv_bytes_per_layer=st.sampled_from((0, 0, 1_000)),
)


def every_cost(candidates: list[Candidate], wanted: Need) -> list[tuple[int, int]]:
    """Return (nanoseconds, hops) of every route there is, found without any cleverness."""
    found: list[tuple[int, int]] = []

    def roomy(offer: Offer) -> range:
        start, end = offer.layers.start, offer.layers.end
        if wanted.kv_bytes_per_layer == 0:
            return range(start, end)
        most = min(end - start, offer.free_kv_bytes // wanted.kv_bytes_per_layer)
        if offer.head:
            return range(end - most, end)
        first = min(max(start, wanted.layers.start), end)
        return range(first, min(end, first + most))

    def extend(here: int, dtypes: frozenset[DType], cost: int, hops: int, tail: bool) -> None:
        if here == LENGTH and (tail or wanted.private_ends):
            found.append((cost, hops))
        for each in candidates:
            offer = each.offer
            kinds = dtypes | {offer.dtype}
            if each.draining or tail or hops > LENGTH or (len(kinds) > 1 and not wanted.mixed_numerics):
                continue
            layers = roomy(offer)
            if not layers.start <= here <= layers.stop:
                continue
            heads = (False, True) if offer.head and not wanted.private_ends else (False,)
            for end, head in itertools.product(range(here, layers.stop + 1), heads):
                count = end - here
                if head and end != LENGTH:
                    continue
                if count == 0 and not (head and (not len(layers) or wanted.layers.start == LENGTH)):
                    continue
                if (
                    wanted.kv_bytes_per_layer
                    and len(offer.layers)
                    and offer.free_kv_bytes < wanted.kv_bytes_per_layer
                ):
                    continue
                units = max(1, len(offer.layers) + offer.head)
                step = offer.step_us * 1_000 or DEFAULT_LAYER_US * 1_000 * units
                unit = round(step * (1 + BUSY_PER_SESSION * offer.sessions) / units)
                spent = round(each.link_s * 1e9) + unit * (count + head)
                extend(end, kinds, cost + spent, hops + 1, head)

    extend(wanted.layers.start, frozenset(), 0, 0, False)
    return found


@settings(max_examples=200, deadline=None)
@given(swarms(), needs, st.randoms())
def test_a_route_is_found_when_there_is_one_and_none_is_cheaper(
    candidates: list[Candidate], wanted: Need, random: Random
) -> None:
    ways = every_cost(candidates, wanted)
    try:
        route = plan(candidates, wanted)
    except NoRoute as error:
        assert not ways
        assert str(error).endswith(".")
        return
    assert (round(route.step_s * 1e9), len(route.hops)) == min(ways)
    random.shuffle(candidates)
    assert plan(candidates, wanted) == route


@settings(max_examples=100, deadline=None)
@given(swarms(), needs)
def test_a_route_is_contiguous_within_its_offers(candidates: list[Candidate], wanted: Need) -> None:
    try:
        route = plan(candidates, wanted)
    except NoRoute:
        return
    bounds = [wanted.layers.start, *(hop.layers.end for hop in route.hops)]
    assert [hop.layers.start for hop in route.hops] == bounds[:-1]
    assert bounds[-1] == LENGTH
    assert [hop.tail for hop in route.hops] == [False] * (len(route.hops) - 1) + [
        not wanted.private_ends
    ] * bool(route.hops)
    for hop in route.hops:
        assert any(
            each.peer == hop.peer and each.offer.layers.covers(hop.layers) and each.offer.head >= hop.tail
            for each in candidates
        )


@settings(max_examples=100, deadline=None)
@given(swarms(), needs)
def test_missing_layers_are_those_that_no_offer_of_an_eligible_host_holds(
    candidates: list[Candidate], wanted: Need
) -> None:
    relaxed = replace(wanted, mixed_numerics=True, kv_bytes_per_layer=0)
    staying = [replace(each, draining=False) for each in candidates]
    held = {layer for each in staying for layer in range(each.offer.layers.start, each.offer.layers.end)}
    try:
        plan(staying, relaxed)
    except NoRoute as error:
        named = [layer for gap in error.missing for layer in range(gap.start, gap.end)]
        assert named == [layer for layer in range(wanted.layers.start, LENGTH) if layer not in held]


def test_layers_that_share_keys_are_on_one_host_and_hosts_of_layers_that_need_tokens_see_them() -> None:
    told = replace(need(), tokens_until=6, joined=(LayerRange(8, 12),))
    hosts = [
        host(1, replace(offers("0:6"), tokens_until=6)),
        host(2, replace(offers("5:12"), tokens_until=6)),
    ]
    route = plan(hosts, told)
    assert [hop.sees_tokens for hop in route.hops] in ([True, False], [True, True])
    assert [hop.sees_tokens for hop in route.hops] == [hop.layers.start < 6 for hop in route.hops]
    assert route.sees_tokens
    assert not plan([host(1, offers("0:12"))], need()).sees_tokens
    parted = [
        host(1, replace(offers("0:9"), tokens_until=6)),
        host(2, replace(offers("9:12"), tokens_until=6)),
    ]
    with pytest.raises(NoRoute, match="8:12, which share keys") as caught:
        plan(parted, told)
    assert caught.value.missing == (LayerRange(8, 12),)


def test_an_offer_that_does_not_know_what_its_layers_need_is_not_believed() -> None:
    with pytest.raises(NoRoute):
        plan([host(1, offers("0:12"))], replace(need(), tokens_until=12))
