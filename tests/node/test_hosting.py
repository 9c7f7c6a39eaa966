from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from crypto.identity import Identity
from node.hosting import HostedSlice, Unsuitable, choose
from node.slices.slice import Slice
from node.slices.spec import SliceSpec
from wire import codec, limits
from wire.codes import Code
from wire.messages.hosting import Hosting
from wire.messages.session import Delivery, Open
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

MODEL, OTHER = ModelId(bytes(32)), ModelId(bytes([1]) * 32)
PEER = Identity.from_seed(bytes(32)).peer_id


@dataclass
class FakeSlice:
    """What `hosting` reads of a slice."""

    spec: SliceSpec
    num_layers: int = 24
    max_positions: int = 1000
    vocab_size: int = 131
    tokens_until: int = 0
    joined: tuple[LayerRange, ...] = ()

    def needs_tokens(self, layers: LayerRange) -> bool:
        return layers.start < self.tokens_until


def hosted(
    layers: str,
    *,
    model: ModelId = MODEL,
    dtype: DType = DType.BFLOAT16,
    head: bool = False,
    max_positions: int = 1000,
    name: str = "tiny",
) -> HostedSlice:
    """A slice that is served."""
    spec = SliceSpec(checkpoint=None, layers=LayerRange.parse(layers), head=head)  # type: ignore[arg-type]  # never read
    fake = FakeSlice(spec, max_positions=max_positions)
    return HostedSlice(model=model, name=name, dtype=dtype, slice=cast(Slice, fake))


def opening(
    layers: str,
    delivery: Delivery = Delivery.NEXT,
    *,
    model: ModelId = MODEL,
    dtype: DType = DType.BFLOAT16,
    positions: int = 100,
) -> Open:
    """A request for a session."""
    following = delivery is Delivery.NEXT
    return Open(
        session=SessionId(bytes(16)),
        model=model,
        layers=LayerRange.parse(layers),
        dtype=dtype,
        upstream=PEER,
        delivery=delivery,
        next_peer=PEER if following else None,
        next_address=Address("127.0.0.1", 1) if following else None,
        next_session=SessionId(bytes(16)) if following else None,
        sampling=Sampling() if delivery is Delivery.TOKENS else None,
        positions=positions,
    )


def refusal(slices: tuple[HostedSlice, ...], opened: Open, code: Code, *words: str) -> None:
    """The request is refused with this code, and the reason has these words."""
    found = choose(slices, opened)
    assert isinstance(found, Unsuitable)
    assert found.code is code
    assert all(word in found.detail for word in words)
    assert len(found.detail) <= limits.MAX_DETAIL_CHARS


@pytest.mark.parametrize("layers", ["6:12", "6:7", "11:12", "7:9"])
def test_any_part_of_a_slice_can_be_used(layers: str) -> None:
    held = hosted("6:12")
    assert choose((held,), opening(layers)) is held


def test_the_smallest_slice_that_holds_the_layers_is_chosen() -> None:
    slices = (hosted("0:24", head=True), hosted("4:12"), hosted("6:10"), hosted("8:10"))
    assert choose(slices, opening("6:9")) is slices[2]


@pytest.mark.parametrize("layers", ["5:12", "6:13", "0:24", "12:13", "0:1", "8:8", "0:0"])
def test_layers_that_no_slice_holds_are_refused_with_those_it_does(layers: str) -> None:
    refusal((hosted("6:12"),), opening(layers), Code.NOT_HOSTING, f"layers {layers}", "only 6:12")


def test_layers_that_only_two_slices_hold_together_are_refused() -> None:
    refusal((hosted("0:6"), hosted("6:12")), opening("4:8"), Code.NOT_HOSTING, "only 0:6, 6:12")


def test_another_model_and_an_empty_host_serve_nothing() -> None:
    refusal((hosted("0:24"),), opening("0:2", model=OTHER), Code.NOT_HOSTING, OTHER.short)
    refusal((), opening("0:2"), Code.NOT_HOSTING, MODEL.short)


def test_tokens_are_drawn_where_the_head_is_and_the_layers_end() -> None:
    tail, middle = hosted("12:24", head=True), hosted("20:24")
    assert choose((middle, tail), opening("20:24", Delivery.TOKENS)) is tail
    refusal((tail, middle), opening("20:23", Delivery.TOKENS), Code.NOT_HOSTING, "head")
    refusal((middle,), opening("20:24", Delivery.TOKENS), Code.NOT_HOSTING, "head")


@pytest.mark.parametrize("delivery", [Delivery.NEXT, Delivery.HIDDEN])
def test_hidden_states_need_no_head(delivery: Delivery) -> None:
    held = hosted("20:24")
    assert choose((held,), opening("20:24", delivery)) is held


def test_numerics_must_be_those_the_client_planned_with() -> None:
    slices = (hosted("0:8", dtype=DType.FLOAT32), hosted("0:12"))
    assert choose(slices, opening("0:4")) is slices[1]
    assert choose(slices, opening("0:4", dtype=DType.FLOAT32)) is slices[0]
    refusal(slices, opening("0:4", dtype=DType.FLOAT16), Code.NUMERICS, "in bf16, f32, not in f16")


def test_a_context_the_model_does_not_have_is_refused_with_the_one_it_has() -> None:
    slices = (hosted("0:8", max_positions=100), hosted("0:12", max_positions=200))
    assert choose(slices, opening("0:4", positions=100)) is slices[0]
    assert choose(slices, opening("0:4", positions=101)) is slices[1]
    refusal(slices, opening("0:4", positions=201), Code.CONTEXT_TOO_LONG, "takes 200 positions", "201")


def test_an_offer_tells_the_slice_and_the_median_of_its_latest_steps() -> None:
    held = hosted("12:24", head=True)
    assert held.offer(free_kv_bytes=5, sessions=2).step_us == 0
    held.step_us.extend([100, 900, 300, 200])
    offer = held.offer(free_kv_bytes=5, sessions=2)
    assert (offer.model, offer.name, offer.layers, offer.head) == (MODEL, "tiny", LayerRange(12, 24), True)
    assert (offer.num_layers, offer.dtype, offer.max_positions) == (24, DType.BFLOAT16, 1000)
    assert (offer.free_kv_bytes, offer.sessions, offer.step_us) == (5, 2, 250)
    held.step_us.extend([7] * 64)
    assert held.offer(free_kv_bytes=0, sessions=0).step_us == 7


@pytest.mark.parametrize("name", ["n" * 255, "a\nb", "a\x1b[2Jb", "\udcff", ""])
def test_a_folder_of_any_name_and_a_context_of_any_length_can_be_offered(name: str) -> None:
    held = hosted("0:4", name=name, max_positions=1 << 40)
    sent = Hosting(offers=(held.offer(free_kv_bytes=1, sessions=0),), draining=False)
    header, body = codec.encode(sent)
    assert codec.decode(header, memoryview(body)) == sent
    assert sent.offers[0].max_positions == limits.MAX_POSITIONS


def test_layers_that_share_keys_are_not_parted_and_layers_that_need_tokens_say_so() -> None:
    held = hosted("6:12")
    fake = cast(Any, held.slice)
    fake.joined, fake.tokens_until = (LayerRange(8, 12),), 8
    found = choose((held,), opening("6:10"))
    assert isinstance(found, Unsuitable)
    assert (found.code, "share keys" in found.detail) == (Code.NOT_HOSTING, True)
    assert choose((held,), opening("6:8")) is held
    assert (held.token_ids(LayerRange(6, 8)), held.token_ids(LayerRange(8, 12))) == (131, 0)
    assert held.offer(free_kv_bytes=0, sessions=0).tokens_until == 8
