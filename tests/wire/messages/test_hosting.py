"""What a peer may say it serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wire import codec, limits
from wire.errors import BadMessage
from wire.messages.hosting import Describe, Hosting, Offer
from wire.tensors import DType
from wire.types import LayerRange, ModelId

LONGEST = Offer(
    model=ModelId(b"\xff" * 32),
    name="\N{GRINNING FACE}" * limits.MAX_AGENT_CHARS,
    layers=LayerRange(limits.MAX_LAYERS, limits.MAX_LAYERS),
    head=True,
    num_layers=limits.MAX_LAYERS,
    dtype=DType.BFLOAT16,
    max_positions=limits.MAX_POSITIONS,
    free_kv_bytes=(1 << 63) - 1,
    sessions=65_535,
    step_us=limits.MAX_STEP,
)


def hosting(*offers: Offer) -> Hosting:
    return Hosting(offers=offers, draining=False)


def test_as_many_of_the_longest_offers_as_are_allowed_fit_a_header() -> None:
    full = hosting(*[LONGEST] * limits.MAX_SLICES_PER_PEER)
    raw, body = codec.encode(full)
    assert len(raw) <= limits.MAX_HEADER_BYTES
    assert codec.decode(raw, body) == full


def test_the_bound_on_offers_is_not_far_below_what_fits() -> None:
    assert len(codec.encode(hosting(*[LONGEST] * 9))[0]) <= limits.MAX_HEADER_BYTES
    assert len(codec.encode(hosting(*[LONGEST] * 10))[0]) > limits.MAX_HEADER_BYTES


def test_one_offer_too_many_is_refused() -> None:
    short = replace(LONGEST, name="")
    with pytest.raises(BadMessage, match=r"hosting\.offers"):
        codec.decode(*codec.encode(hosting(*[short] * (limits.MAX_SLICES_PER_PEER + 1))))


def test_a_peer_may_serve_nothing() -> None:
    assert codec.decode(*codec.encode(hosting())) == hosting()
    assert codec.decode(*codec.encode(Describe())) == Describe()
