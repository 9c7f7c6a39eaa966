"""The store against a model of it, over long sequences; and each limit by itself."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto.digest import sha256
from node.dht.storage import RecordStore
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
from wire.dht_messages import Outcome
from wire.endpoints import NodeId
from wire.records import Record, claim_of, position, sign_record
from wire.types import ModelId

ROOM = 1 << 20
MODELS = [ModelId(sha256(bytes([number]))) for number in range(3)]


def put(store: RecordStore, record: Record, network: bytes | None = None, now: float = NOW) -> Outcome:
    # The store is given what was checked: the bytes stand for the record here.
    data = repr((record.place, record.lifetime)).encode()
    return store.store(data, record, network, now)


class StoreMachine(RuleBasedStateMachine):
    """Stores, expires and pages at random; a dictionary says what has to be there."""

    def __init__(self) -> None:
        super().__init__()
        self.store = RecordStore(NETWORK)
        self.model: dict[tuple[NodeId, bytes], Record] = {}
        self.now = NOW

    @rule(
        host=st.integers(0, 5),
        model=st.sampled_from(MODELS),
        slot=st.integers(0, 2),
        sequence=st.integers(0, 4),
        ttl=st.integers(1, 300),
        network=st.sampled_from([None, b"one", b"two"]),
    )
    def put(
        self, host: int, model: ModelId, slot: int, sequence: int, ttl: int, network: bytes | None
    ) -> None:
        life = lifetime(sequence=sequence, issued=self.now, ttl_s=ttl)
        record = slice_record(identity(host), model=model, slot=slot, lifetime=life)
        name = (record.key(NETWORK), record.place)
        old = self.model.get(name)
        outcome = put(self.store, record, network, self.now)
        if old is None or sequence > old.lifetime.sequence or record == old:
            assert outcome is Outcome.STORED
            self.model[name] = record
        else:
            assert outcome is Outcome.STALE

    @rule(seconds=st.integers(0, 120))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.model = {
            name: record for name, record in self.model.items() if record.lifetime.expires > self.now
        }
        self.store.expire(self.now)

    @rule(model=st.sampled_from(MODELS), cursor=st.integers(0, (1 << 64) - 1), room=st.integers(0, 2000))
    def read_all_pages(self, model: ModelId, cursor: int, room: int) -> None:
        key = slice_record(identity(0), model=model).key(NETWORK)
        wanted = [record for (where, _), record in self.model.items() if where == key]
        found: list[bytes] = []
        at: int | None = cursor
        for _ in range(100):
            assert at is not None
            page = self.store.page(key, at, max(room, 200), self.now)
            assert page.total == len(wanted)
            fresh = [one for one in page.records if one not in found]
            found += fresh
            at = page.next
            if at is None or len(fresh) < len(page.records):
                break
        assert len(found) == len(wanted)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        self.store.expire(self.now)
        assert len(self.store) == len(self.model)
        for model in MODELS:
            key = slice_record(identity(0), model=model).key(NETWORK)
            held = {record.place: record for record in self.store.records(key, self.now)}
            assert held == {place: record for (where, place), record in self.model.items() if where == key}


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30)


def test_a_page_begins_at_the_cursor_and_goes_round() -> None:
    store = RecordStore(NETWORK)
    records = [slice_record(identity(number)) for number in range(20)]
    for record in records:
        put(store, record)
    key = records[0].key(NETWORK)
    ring = sorted(position(record) for record in records)
    page = store.page(key, ring[10], ROOM, NOW)
    assert len(page.records) == limits.MAX_ANSWER_RECORDS
    assert page.next == ring[18]
    rest = store.page(key, ring[18], ROOM, NOW)
    assert rest.next == ring[6]
    assert not set(page.records) & set(rest.records)
    assert store.page(key, ring[0], 0, NOW).next == ring[0]


def test_an_older_record_does_not_come_back() -> None:
    store = RecordStore(NETWORK)
    host = identity(1)
    old, new = slice_record(host), withdrawn(slice_record(host), lifetime=lifetime(sequence=2))
    assert put(store, old) is Outcome.STORED
    assert put(store, new) is Outcome.STORED
    assert put(store, old) is Outcome.STALE
    assert store.records(old.key(NETWORK), NOW) == [new]


def test_the_same_record_is_fine_and_another_of_its_sequence_is_not() -> None:
    store = RecordStore(NETWORK)
    record = slice_record(identity(1))
    assert put(store, record) is Outcome.STORED
    assert put(store, record) is Outcome.STORED
    assert put(store, slice_record(identity(1), sessions=9)) is Outcome.STALE
    data = signed(1)
    fresh = RecordStore(NETWORK)
    fresh.store(data, record, None, NOW)
    assert fresh.holds(data, claim_of(record))
    assert not fresh.holds(data + b"x", claim_of(record))
    assert not store.holds(data, claim_of(slice_record(identity(2))))


def test_a_key_has_room_for_so_many_and_each_host_may_still_renew() -> None:
    store = RecordStore(NETWORK)
    outcomes = [put(store, slice_record(identity(number))) for number in range(limits.MAX_STORED_PER_KEY + 3)]
    assert outcomes.count(Outcome.STORED) == limits.MAX_STORED_PER_KEY
    assert outcomes[-1] is Outcome.FULL
    assert put(store, slice_record(identity(0), lifetime=lifetime(sequence=2))) is Outcome.STORED
    # What expires makes room.
    late = slice_record(identity(9999), lifetime=lifetime(issued=NOW + 700))
    assert put(store, late, now=NOW + 700) is Outcome.STORED
    assert len(store) == 1


def test_a_host_has_room_for_so_many() -> None:
    store = RecordStore(NETWORK)
    host = identity(1)
    outcomes = [
        put(store, slice_record(host, model=ModelId(sha256(number.to_bytes(2, "big")))))
        for number in range(limits.MAX_STORED_PER_HOST + 1)
    ]
    assert outcomes.count(Outcome.STORED) == limits.MAX_STORED_PER_HOST


def test_a_network_has_room_for_a_quarter_of_a_key() -> None:
    store = RecordStore(NETWORK)
    outcomes = [put(store, slice_record(identity(number)), b"net") for number in range(100)]
    assert outcomes.count(Outcome.STORED) == limits.MAX_STORED_PER_KEY_AND_NETWORK
    assert put(store, slice_record(identity(200)), b"ten") is Outcome.STORED
    assert put(store, slice_record(identity(201)), None) is Outcome.STORED


def test_a_network_has_room_for_so_many_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STORED_PER_NETWORK", 5)
    monkeypatch.setattr(limits, "MAX_STORED_RECORDS", 8)
    store = RecordStore(NETWORK)
    outcomes = [put(store, slice_record(identity(one), model=MODELS[one % 3]), b"net") for one in range(9)]
    assert outcomes.count(Outcome.STORED) == 5
    outcomes = [put(store, slice_record(identity(100 + one)), None) for one in range(9)]
    assert outcomes.count(Outcome.STORED) == 3


def test_few_records_of_the_index_say_what_a_model_is() -> None:
    store = RecordStore(NETWORK)
    outcomes = [put(store, index_record(identity(number))) for number in range(9)]
    assert outcomes.count(Outcome.STORED) == limits.MAX_INDEX_PER_MODEL
    other = ModelId(MODEL.digest[:1] + bytes(31))
    assert put(store, index_record(identity(1), model=other)) is Outcome.STORED


def test_a_real_record_pages_out_as_the_bytes_it_came_in() -> None:
    store = RecordStore(NETWORK)
    record = slice_record(identity(1))
    data = sign_record(record, identity(1), NETWORK)
    store.store(data, record, None, NOW)
    assert store.page(record.key(NETWORK), 0, ROOM, NOW).records == (data,)
    assert store.page(NodeId(bytes(20)), 0, ROOM, NOW).total == 0
