"""What is read before decoding is what the decoder reads, for every record; and nothing else raises anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.records import MODEL, NETWORK, NOW, identity, index_record, lifetime, signed, slice_record
from wire import limits
from wire.claims import INDEX, SLICE, Claim, read_claim
from wire.errors import BadMessage
from wire.records import (
    Forged,
    Lifetime,
    Record,
    Untimely,
    check_times,
    claim_of,
    index_key,
    parse_record,
    read_record,
    sign_record,
    slice_key,
)
from wire.types import LayerRange, ModelId

HOST = identity(1)
LIVES = st.builds(
    lambda sequence, issued, ttl: Lifetime(sequence=sequence, issued=issued, expires=issued + ttl),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, 1 << 47),
    st.integers(1, limits.MAX_RECORD_TTL_SECONDS),
)
MODELS = st.builds(ModelId, st.binary(min_size=32, max_size=32))
RECORDS: st.SearchStrategy[Record] = st.builds(
    lambda life, model, shard, slot: slice_record(
        HOST,
        lifetime=life,
        model=model,
        layers=LayerRange(0, limits.MAX_LAYERS),
        num_layers=limits.MAX_LAYERS,
        shard=shard,
        slot=slot,
    ),
    LIVES,
    MODELS,
    st.integers(0, limits.MAX_LAYERS // limits.SHARD_LAYERS),
    st.integers(0, limits.MAX_SLICES_PER_PEER - 1),
) | st.builds(lambda life, model: index_record(HOST, lifetime=life, model=model), LIVES, MODELS)


@given(RECORDS)
def test_a_claim_says_what_the_record_says(record: Record) -> None:
    claim = read_claim(sign_record(record, HOST, NETWORK))
    assert claim == claim_of(record)
    assert claim.key(NETWORK) == record.key(NETWORK)
    assert claim.place == record.place


@given(st.sampled_from([signed(1), sign_record(index_record(HOST), HOST, NETWORK)]), st.data())
def test_what_the_decoder_takes_was_claimed_alike_however_it_is_changed(
    data: bytes, draw: st.DataObject
) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        changed[draw.draw(st.integers(0, len(data) - 65))] = draw.draw(st.integers(0, 255))
    try:
        record = parse_record(bytes(changed))
    except BadMessage:
        return
    assert read_claim(bytes(changed)) == claim_of(record)


@given(st.binary(max_size=500) | st.binary(max_size=330).map(lambda more: signed(1)[:70] + more))
def test_any_bytes_are_a_claim_or_refused(data: bytes) -> None:
    try:
        claim = read_claim(data)
        claim.key(NETWORK)
        assert claim.place
        check_times(claim, NOW)
    except BadMessage:
        return


def test_keys_are_those_of_slices_and_of_parts_of_the_index() -> None:
    assert read_claim(signed(1)).key(NETWORK) == slice_key(NETWORK, MODEL, 0)
    claim = claim_of(index_record(HOST))
    assert (claim.kind, claim_of(slice_record(HOST)).kind) == (INDEX, SLICE)
    assert claim.key(NETWORK) == index_key(NETWORK, MODEL.digest[0] >> 6)
    assert claim.key(NETWORK) != claim.key("other")


def test_a_shard_or_slot_that_nothing_has_is_refused() -> None:
    far = Claim(SLICE, MODEL.digest, HOST.public_key, 1, NOW, NOW + 1, shard=1 << 40, slot=1 << 40)
    with pytest.raises(BadMessage, match="shard"):
        far.key(NETWORK)
    with pytest.raises(BadMessage, match="slot"):
        assert far.place


@pytest.mark.parametrize(
    ("issued", "expires", "error"),
    [
        (NOW - 700, NOW - 100, Untimely),
        (NOW + 7200, NOW + 7800, Untimely),
        (NOW, NOW + limits.MAX_RECORD_TTL_SECONDS + 1, BadMessage),
        (NOW, NOW, BadMessage),
        (1 << 63, (1 << 63) + 1, Untimely),
    ],
)
def test_times_are_judged_before_the_signature(issued: int, expires: int, error: type[BadMessage]) -> None:
    claim = Claim(SLICE, MODEL.digest, HOST.public_key, 1, issued, expires)
    with pytest.raises(error) as caught:
        check_times(claim, NOW)
    assert type(caught.value) is error
    forged = signed(1, lifetime=lifetime(issued=NOW - 700))[:-1] + b"x"
    with pytest.raises(Untimely):
        read_record(forged, network=NETWORK, now=NOW)


def test_nothing_is_decoded_that_is_not_signed() -> None:
    """The rest is a bomb that the decoder would refuse as such."""
    bomb = signed(1)[:84] + b"\x81" * 200
    with pytest.raises(Forged):
        read_record(bomb + bytes(64), network=NETWORK, now=NOW)
    with pytest.raises(BadMessage, match="CBOR"):
        parse_record(bomb + bytes(64))
