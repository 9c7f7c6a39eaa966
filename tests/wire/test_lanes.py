"""The send queue: urgent overtakes bulk, sessions keep their order, nothing starves."""

from __future__ import annotations

import tracemalloc
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import limits
from wire.frames import MAX_FRAGMENT_BYTES, Assembler, Lane, message_head
from wire.lanes import Outbox

BULK_BYTES = limits.URGENT_MESSAGE_BYTES + 1


class Receiver:
    """Assembles both lanes and remembers which lane each record used."""

    def __init__(self) -> None:
        self.lanes = (Assembler(), Assembler())
        self.record_lanes: list[int] = []
        self.headers: list[bytes] = []

    def take(self, outbox: Outbox, room: int = limits.MAX_RECORD_PLAINTEXT_BYTES) -> bool:
        record = memoryview(bytearray(room))
        size = outbox.fill(record)
        if size:
            self.record_lanes.append(record[0])
            self.headers += [bytes(header) for header, _ in self.lanes[record[0]].feed(record[1:size])]
        return size > 0

    def drain(self, outbox: Outbox) -> list[bytes]:
        while self.take(outbox):
            pass
        return self.headers


def put(outbox: Outbox, name: bytes, body_bytes: int = 10, key: Hashable = None) -> None:
    outbox.put(message_head(name, body_bytes), bytes(body_bytes), key=key)


@pytest.mark.parametrize(("body_bytes", "lane"), [(10, Lane.URGENT), (BULK_BYTES, Lane.BULK)])
def test_the_lane_follows_from_the_size(body_bytes: int, lane: Lane) -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"m", body_bytes)
    receiver.drain(outbox)
    assert set(receiver.record_lanes) == {lane}


def test_an_urgent_message_overtakes_a_bulk_one_that_is_under_way() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"bulk", 10 * MAX_FRAGMENT_BYTES)
    receiver.take(outbox)
    put(outbox, b"urgent")
    receiver.take(outbox)
    assert receiver.headers == [b"urgent"]
    assert receiver.drain(outbox) == [b"urgent", b"bulk"]


def test_a_session_never_overtakes_itself() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"bulk", 3 * MAX_FRAGMENT_BYTES, key="a")
    put(outbox, b"small a", key="a")
    put(outbox, b"small b", key="b")
    assert receiver.drain(outbox) == [b"small b", b"bulk", b"small a"]
    put(outbox, b"later", key="a")
    receiver.take(outbox)
    assert receiver.record_lanes[-1] == Lane.URGENT


def test_small_messages_share_a_record() -> None:
    outbox, receiver = Outbox(), Receiver()
    for number in range(20):
        put(outbox, b"%d" % number)
    receiver.take(outbox)
    assert len(receiver.headers) == 20
    assert outbox.pending_bytes == 0


def test_bulk_goes_on_under_a_steady_stream_of_urgent_messages() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"bulk", BULK_BYTES)
    for _ in range(limits.URGENT_BURST_RECORDS * 3):
        put(outbox, b"u", limits.URGENT_MESSAGE_BYTES - 64)
        put(outbox, b"u", limits.URGENT_MESSAGE_BYTES - 64)
        receiver.take(outbox)
        if b"bulk" in receiver.headers:
            return
    pytest.fail("the bulk message never left")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 3000, 60_000, BULK_BYTES, 3 * BULK_BYTES])),
        max_size=40,
    ),
    st.lists(st.integers(0, 3), max_size=40),
)
def test_whatever_is_queued_arrives_once_and_in_order_within_its_session(
    messages: list[tuple[str, int]], takes: list[int]
) -> None:
    outbox, receiver = Outbox(), Receiver()
    for number, (key, size) in enumerate(messages):
        put(outbox, f"{key}{number}".encode(), size, key=key)
        for _ in range(takes[number] if number < len(takes) else 0):
            receiver.take(outbox, 20_000)
    received = receiver.drain(outbox)
    for key in "abc":
        sent = [f"{key}{number}".encode() for number, (one, _) in enumerate(messages) if one == key]
        assert [name for name in received if name.startswith(key.encode())] == sent
    assert outbox.pending_bytes == 0
    assert outbox.completed == len(messages)


def test_only_counted_messages_are_counted_and_only_once_they_have_left() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"bulk", 2 * MAX_FRAGMENT_BYTES)
    outbox.put(message_head(b"ack", 0), b"", counted=False)
    receiver.take(outbox)
    receiver.take(outbox)
    assert outbox.completed == 0
    receiver.drain(outbox)
    assert outbox.completed == 1


def test_clearing_keeps_an_urgent_message_that_has_begun() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"begun", 5000)
    put(outbox, b"waiting", 5000)
    put(outbox, b"bulk", BULK_BYTES)
    receiver.take(outbox, 1000)
    outbox.clear()
    put(outbox, b"goodbye")
    assert receiver.drain(outbox) == [b"begun", b"goodbye"]
    assert outbox.pending_bytes == 0


def test_dropping_bulk_leaves_what_is_urgent() -> None:
    outbox, receiver = Outbox(), Receiver()
    put(outbox, b"bulk", 3 * BULK_BYTES, key="a")
    receiver.take(outbox)
    put(outbox, b"urgent")
    outbox.drop_bulk()
    put(outbox, b"after", key="a")
    assert receiver.drain(outbox) == [b"urgent", b"after"]
    assert outbox.pending_bytes == 0


def test_many_small_messages_hold_more_than_their_bytes() -> None:
    outbox = Outbox()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2_000):
        put(outbox, f"{number:08}".encode())
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert outbox.pending_bytes < held / 3
    assert held * 0.75 < outbox.held_bytes < held * 1.5
    Receiver().drain(outbox)
    assert outbox.held_bytes == 0
