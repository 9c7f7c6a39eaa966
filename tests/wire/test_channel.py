"""Sealed records: what tampering does, how keys change, how much a batch holds."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.digest import Buffer
from crypto.noise.cipher import CipherState
from crypto.noise.handshake import TransportKeys
from tests.fakes.joined import MIB, Joined, closed, slip_raw, step, steps
from wire import limits
from wire.channel import Channel
from wire.codes import Code
from wire.connection_table import State
from wire.errors import BadFrame
from wire.events import Closed
from wire.frames import RecordCutter, message_head
from wire.lanes import Outbox


def channels() -> tuple[Channel, Channel]:
    there, back = b"1" * 32, b"2" * 32
    first = TransportKeys(send=CipherState(there), receive=CipherState(back), handshake_hash=b"")
    second = TransportKeys(send=CipherState(back), receive=CipherState(there), handshake_hash=b"")
    return Channel(first), Channel(second)


def outbox_with(*sizes: int) -> Outbox:
    outbox = Outbox()
    for number, size in enumerate(sizes):
        outbox.put(message_head(b"m%d" % number, size), bytes(size))
    return outbox


def records(data: bytes | bytearray | memoryview) -> list[bytearray]:
    return [bytearray(record) for record in RecordCutter().feed(data)]


def test_what_is_sealed_opens_at_the_other_end() -> None:
    here, there = channels()
    frames = [
        frame
        for record in records(here.seal(outbox_with(10, 0, 300_000), None))
        for frame in there.open(memoryview(record))[1]
    ]
    assert [(bytes(header), len(body)) for header, body in frames] == [
        (b"m0", 10),
        (b"m1", 0),
        (b"m2", 300_000),
    ]


@pytest.mark.parametrize("limit", [1, 1000, 5000, 65_536, 65_537, 65_600, 200_000, 262_144])
def test_a_limit_is_kept_and_batches_join_to_the_whole(limit: int) -> None:
    here, there = channels()
    outbox = outbox_with(200_000, 10, 70_000, 20)
    found = 0
    while outbox.pending_bytes:
        batch = here.seal(outbox, limit)
        assert 0 < len(batch) <= max(limit, 4096)
        found += sum(len(there.open(memoryview(record))[1]) for record in records(batch))
    assert found == 4


def test_without_a_limit_everything_leaves_at_once() -> None:
    here, _ = channels()
    outbox = outbox_with(*[70_000, 30_000] * 60)
    here.seal(outbox, None)
    assert outbox.pending_bytes == 0


def test_buffers_are_never_reused() -> None:
    here, _ = channels()
    first = here.seal(outbox_with(10), None)
    copy = bytes(first)
    here.seal(outbox_with(20), None)
    assert bytes(first) == copy


def some_records() -> tuple[Channel, list[bytearray]]:
    here, there = channels()
    return there, records(here.seal(outbox_with(200_000), None))


@pytest.mark.parametrize("at", [0, 1, 1000, -17, -1])
def test_an_altered_record_closes_the_channel_for_good(at: int) -> None:
    there, sealed = some_records()
    good = bytearray(sealed[0])
    sealed[0][at] ^= 1
    for record in (sealed[0], good):
        with pytest.raises(BadFrame, match="authenticate"):
            there.open(memoryview(record))


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 2)])
def test_records_reordered_repeated_or_left_out_are_refused(order: tuple[int, int]) -> None:
    there, sealed = some_records()
    with pytest.raises(BadFrame):
        for number in order:
            there.open(memoryview(sealed[number]))


def test_a_record_cut_short_is_refused() -> None:
    there, sealed = some_records()
    with pytest.raises(BadFrame):
        there.open(memoryview(sealed[0])[:-1])


def test_a_record_sent_back_to_its_sender_is_refused() -> None:
    here, _ = channels()
    sealed = records(here.seal(outbox_with(10), None))
    with pytest.raises(BadFrame):
        here.open(memoryview(sealed[0]))


def test_a_lane_that_does_not_exist_is_refused() -> None:
    _, there = channels()
    sealed = CipherState(b"1" * 32).encrypt(b"", b"\x02abc")
    with pytest.raises(BadFrame, match="lane 2"):
        there.open(memoryview(bytearray(sealed)))


def test_keys_change_by_count_in_both_directions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REKEY_MESSAGES", 3)
    here, there = channels()
    plain = CipherState(b"1" * 32)
    for number in range(10):
        [record] = records(here.seal(outbox_with(number), None))
        unchanged = plain.encrypt(b"", bytes(len(record) - 16))[:4] == bytes(record[:4])
        assert len(there.open(memoryview(record))[1]) == 1, number
        assert not unchanged or number < 3
        [answer] = records(there.seal(outbox_with(number), None))
        assert len(here.open(memoryview(answer))[1]) == 1


def test_a_side_that_does_not_change_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = channels()
    sealed = [records(here.seal(outbox_with(1), None))[0] for _ in range(4)]
    monkeypatch.setattr(limits, "REKEY_MESSAGES", 3)
    for record in sealed[:3]:
        there.open(memoryview(record))
    with pytest.raises(BadFrame):
        there.open(memoryview(sealed[3]))


# The same with an enemy between two connections.


def sealed(pair: Joined, size: int = 100_000) -> bytearray:
    pair.initiator.send(step(size), now=pair.now)
    return bytearray(b"".join(bytes(buffer) for buffer in pair.initiator.data_to_send()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_any_altered_byte_ends_the_link_and_never_yields_a_message(at: int, change: int) -> None:
    pair = Joined.established()
    data = sealed(pair, 70_000)
    data[at % len(data)] ^= change
    pair.responder.receive_data(data, now=pair.now)
    events = pair.responder.events()
    assert steps(events) == []
    if pair.responder.state is State.ESTABLISHED:
        # A longer length makes the receiver wait for bytes that never come; the peer will time out.
        assert pair.responder._cutter.buffered_bytes > 0
    else:
        assert closed(events).code is Code.BAD_FRAME


def test_a_repeated_record_ends_the_link() -> None:
    pair = Joined.established()
    data = sealed(pair, 64)
    pair.responder.receive_data(bytes(data) * 2, now=pair.now)
    message, ending = pair.responder.events()
    assert steps([message]) == [0]
    assert isinstance(ending, Closed)
    assert ending.code is Code.BAD_FRAME


def test_a_truncated_stream_yields_nothing_and_is_a_lost_connection() -> None:
    pair = Joined.established()
    data = sealed(pair)
    pair.responder.receive_data(data[:-1], now=pair.now)
    pair.responder.receive_eof(now=pair.now)
    assert closed(pair.responder.events()).code is Code.CONNECTION_LOST


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_in_any_state_end_in_an_event_and_never_in_an_exception(
    initiator: bool, established: bool, chunks: list[bytes]
) -> None:
    pair = Joined.established() if established else Joined()
    side = pair.initiator if initiator else pair.responder
    for chunk in chunks:
        side.receive_data(chunk, now=pair.now)
    assert steps(side.events()) == []


def test_a_stream_of_noise_holds_no_more_than_a_record() -> None:
    pair = Joined.established()
    chunk = b"\xff\xff" + bytes(1000)
    tracemalloc.start()
    for _ in range(2000):
        pair.responder.receive_data(chunk, now=pair.now)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pair.responder.state is State.CLOSED
    assert peak < 1_000_000


def test_an_announced_message_costs_only_what_was_sent() -> None:
    pair = Joined.established()
    slip_raw(pair.initiator, b"\xa0" * 10, bytes(7 * MIB))
    first: list[Buffer] = pair.initiator.data_to_send(5000)
    tracemalloc.start()
    for buffer in first:
        pair.responder.receive_data(buffer, now=pair.now)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
