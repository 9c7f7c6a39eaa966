"""A record is what its host signed for this network, in bounds and in time; nothing else is read as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.identity import PeerId
from tests.fakes.records import (
    MODEL,
    NETWORK,
    NOW,
    identity,
    index_record,
    lifetime,
    signed,
    slice_record,
    withdrawn,
)
from wire import limits
from wire.cbor import canonical, loads
from wire.errors import BadMessage, InvalidValue
from wire.records import (
    Forged,
    IndexRecord,
    Lifetime,
    Record,
    RecordState,
    Relay,
    SliceRecord,
    Untimely,
    block_shards,
    index_key,
    index_shard,
    parse_record,
    position,
    read_record,
    sign_record,
    slice_key,
)
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "records.json").read_text(encoding="utf-8")
)
HOST = identity(1)
V6 = Address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
ADDRESSES = st.builds(
    Address,
    st.sampled_from(["127.0.0.1", "10.1.2.3", "203.0.113.255", "::1", "2001:db8::1", V6.ip]),
    st.integers(1, 65535),
)
PEERS = st.builds(PeerId, st.binary(min_size=32, max_size=32))
LIFETIMES = st.builds(
    lambda sequence, early, ttl: Lifetime(sequence=sequence, issued=NOW - early, expires=NOW - early + ttl),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, 600),
    st.integers(601, limits.MAX_RECORD_TTL_SECONDS),
)


@st.composite
def slices(draw: st.DrawFn) -> SliceRecord:
    num_layers = draw(st.integers(1, limits.MAX_LAYERS))
    start = draw(st.integers(0, num_layers))
    layers = LayerRange(start, draw(st.integers(start, num_layers)))
    serving = draw(st.booleans())
    relays = draw(st.lists(st.builds(Relay, PEERS, ADDRESSES), max_size=limits.MAX_RECORD_RELAYS))
    most = limits.MAX_RECORD_ADDRESSES - len(relays)
    addresses = draw(st.lists(ADDRESSES, min_size=not relays, max_size=most))
    return SliceRecord(
        model=ModelId(draw(st.binary(min_size=32, max_size=32))),
        host=HOST.public_key,
        shard=draw(st.sampled_from((0, *block_shards(layers)))),
        slot=draw(st.integers(0, limits.MAX_SLICES_PER_PEER - 1)),
        layers=layers,
        head=not len(layers) or draw(st.booleans()),
        num_layers=num_layers,
        tokens_until=draw(st.integers(0, num_layers)),
        addresses=tuple(addresses) if serving else (),
        relays=tuple(relays) if serving else (),
        lifetime=draw(LIFETIMES),
        dtype=draw(st.sampled_from(DType)),
        weights=draw(st.sampled_from(WeightFormat)),
        max_positions=draw(st.integers(0, limits.MAX_POSITIONS)),
        free_kv_bytes=draw(st.integers(0, 1 << 48)),
        sessions=draw(st.integers(0, 65_535)),
        step_us=draw(st.integers(0, limits.MAX_STEP)),
        state=RecordState.SERVING if serving else RecordState.WITHDRAWN,
    )


INDEXES = st.builds(
    IndexRecord,
    model=st.builds(ModelId, st.binary(min_size=32, max_size=32)),
    host=st.just(HOST.public_key),
    name=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=16),
    num_layers=st.integers(1, limits.MAX_LAYERS),
    lifetime=LIFETIMES,
    state=st.sampled_from(RecordState),
)


@given(slices() | INDEXES)
def test_a_record_survives_a_round_trip(record: Record) -> None:
    data = sign_record(record, HOST, NETWORK)
    assert read_record(data, network=NETWORK, now=NOW) == record
    assert parse_record(data) == record


def test_the_fullest_record_fits() -> None:
    relays = tuple(Relay(PeerId(bytes([n]) * 32), V6) for n in range(limits.MAX_RECORD_RELAYS))
    record = slice_record(
        HOST,
        shard=64,
        slot=7,
        layers=LayerRange(1000, 1024),
        head=True,
        num_layers=1024,
        tokens_until=1024,
        addresses=(V6,) * (limits.MAX_RECORD_ADDRESSES - len(relays)),
        relays=relays,
        lifetime=Lifetime(sequence=(1 << 63) - 1, issued=1 << 47, expires=(1 << 47) + 1800),
        weights=WeightFormat.INT4_128,
        max_positions=limits.MAX_POSITIONS,
        free_kv_bytes=1 << 48,
        sessions=65_535,
        step_us=limits.MAX_STEP,
    )
    assert len(sign_record(record, HOST, NETWORK)) <= limits.MAX_RECORD_BYTES
    assert len(signed(1)) < 230


@settings(max_examples=300)
@given(st.sampled_from([signed(1), sign_record(index_record(HOST), HOST, NETWORK)]), st.data())
def test_a_change_of_any_byte_is_refused(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(BadMessage):
        read_record(bytes(changed), network=NETWORK, now=NOW)


@given(st.binary(max_size=500))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_record(data, network=NETWORK, now=NOW)


def test_a_record_counts_in_its_network_only() -> None:
    with pytest.raises(Forged):
        read_record(signed(1), network="other", now=NOW)


def test_a_record_of_another_host_cannot_be_signed_nor_passed_off() -> None:
    with pytest.raises(InvalidValue):
        sign_record(slice_record(HOST), identity(2), NETWORK)
    theirs = signed(2)
    ours = signed(1)
    with pytest.raises(Forged):
        read_record(ours[:-64] + theirs[-64:], network=NETWORK, now=NOW)


@pytest.mark.parametrize(
    ("now", "fine"),
    [
        (NOW, True),
        (NOW + 599.9, True),
        (NOW + 600, False),
        (NOW - limits.RECORD_SKEW_SECONDS, True),
        (NOW - limits.RECORD_SKEW_SECONDS - 1, False),
        (NOW + 7200, False),
        (NOW - 7200, False),
    ],
)
def test_a_record_counts_from_its_issue_to_its_expiry(now: float, fine: bool) -> None:
    if fine:
        read_record(signed(1), network=NETWORK, now=now)
    else:
        with pytest.raises(Untimely):
            read_record(signed(1), network=NETWORK, now=now)


@pytest.mark.parametrize(
    ("issued", "expires"), [(5, 5), (6, 5), (0, limits.MAX_RECORD_TTL_SECONDS + 1), (-1, 5)]
)
def test_a_life_out_of_bounds_does_not_exist(issued: int, expires: int) -> None:
    with pytest.raises(InvalidValue):
        Lifetime(sequence=0, issued=issued, expires=expires)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": bytes(31)},
        {"shard": 2},
        {"shard": 66},
        {"slot": limits.MAX_SLICES_PER_PEER},
        {"layers": LayerRange(4, 9)},
        {"layers": LayerRange(4, 4)},
        {"tokens_until": 9},
        {"num_layers": limits.MAX_LAYERS + 1},
        {"addresses": (V6,) * 5},
        {"addresses": ()},
        {"state": RecordState.WITHDRAWN},
        {"relays": (Relay(PeerId(bytes(32)), V6),) * 3},
    ],
)
def test_a_slice_out_of_bounds_does_not_exist(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        slice_record(HOST, **changes)


@pytest.mark.parametrize(
    "changes", [{"name": ""}, {"name": "x" * 65}, {"name": "a\nb"}, {"name": "\ud800"}, {"num_layers": 0}]
)
def test_an_index_out_of_bounds_does_not_exist(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        index_record(HOST, **changes)
    with pytest.raises(InvalidValue):
        index_record(HOST, host=bytes(3))


@pytest.mark.parametrize("at", range(22))
@pytest.mark.parametrize(
    "value", [None, -1, 1 << 63, 1.5, "text", b"short", [], [[]], {}, True, [b"x"], [b"x"] * 9]
)
def test_a_signed_record_with_a_wrong_value_is_refused(at: int, value: object) -> None:
    body = loads(signed(1)[:-64])
    # Position 11 says whether there is a head, which may be true.
    if at == 11 and value is True:
        return
    # An empty list of relays is what there is already.
    if at == 15 and value == []:
        return
    body[at] = value
    with pytest.raises(BadMessage):
        parse_record(canonical(body) + bytes(64))


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("value", [None, -1, 1 << 63, "a\nb", b"short", [], {}, 2.5])
def test_a_signed_index_with_a_wrong_value_is_refused(at: int, value: object) -> None:
    body = loads(sign_record(index_record(HOST), HOST, NETWORK)[:-64])
    body[at] = value
    with pytest.raises(BadMessage):
        parse_record(canonical(body) + bytes(64))


def test_a_record_in_another_form_of_cbor_is_refused() -> None:
    data = signed(1)
    # The array's length in two bytes instead of one.
    assert data[0] == 0x96
    with pytest.raises(BadMessage, match="canonical"):
        parse_record(b"\x98\x16" + data[1:])


def test_an_oversized_record_is_neither_read_nor_made() -> None:
    with pytest.raises(BadMessage):
        parse_record(signed(1) + bytes(limits.MAX_RECORD_BYTES))


def test_records_replace_each_other_by_host_key_and_slot() -> None:
    record = slice_record(HOST)
    assert record.place == replace(record, lifetime=lifetime(sequence=9)).place == withdrawn(record).place
    others: list[Record] = [replace(record, slot=1), slice_record(identity(2)), index_record(HOST)]
    assert len({record.place, *(one.place for one in others)}) == 4
    assert len({position(record), *(position(one) for one in others)}) == 4
    assert record.peer == HOST.peer_id
    assert index_record(HOST).peer == HOST.peer_id


def test_the_key_follows_from_network_model_and_shard() -> None:
    record = slice_record(HOST)
    keys = {
        record.key("main"),
        record.key("other"),
        replace(record, shard=1).key("main"),
        replace(record, model=ModelId(bytes(32))).key("main"),
        index_record(HOST).key("main"),
    }
    assert len(keys) == 5
    assert record.key("main") == slice_key("main", MODEL, 0)
    assert index_record(HOST).key("main") == index_key("main", index_shard(MODEL))


def test_the_index_has_as_many_parts_as_it_says() -> None:
    shards = {index_shard(ModelId(bytes([first]) + bytes(31))) for first in range(256)}
    assert shards == set(range(limits.INDEX_SHARDS))


@pytest.mark.parametrize(
    ("layers", "shards"),
    [
        ((0, 4), (1,)),
        ((0, 16), (1,)),
        ((15, 17), (1, 2)),
        ((16, 48), (2, 3)),
        ((80, 80), (5,)),
        ((0, 0), (1,)),
        ((16, 16), (1,)),
    ],
)
def test_a_slice_lies_in_the_blocks_of_its_layers(layers: tuple[int, int], shards: tuple[int, ...]) -> None:
    assert block_shards(LayerRange(*layers)) == shards


@pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda one: one["name"])
def test_the_vectors_are_read_as_they_say(vector: dict[str, Any]) -> None:
    record = read_record(bytes.fromhex(vector["bytes"]), network=vector["network"], now=vector["now"])
    assert record.key(vector["network"]).raw.hex() == vector["key"]
    assert record.peer.raw.hex() == vector["peer"]
    assert position(record) == int(vector["position"], 16)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda one: one["name"])
def test_the_refused_vectors_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        read_record(bytes.fromhex(vector["bytes"]), network=vector["network"], now=vector["now"])
