"""Sealed records: what tampering does, how keys change, how much a batch holds."""

from __future__ import annotations

import pytest

from crypto.noise.cipher import CipherState
from crypto.noise.handshake import TransportKeys
from wire import limits
from wire.channel import Channel
from wire.errors import BadFrame
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
