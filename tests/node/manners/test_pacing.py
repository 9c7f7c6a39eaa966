"""The gate on a clock that is moved by hand: the rate holds, turns are fair, and what is urgent goes first."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.manners.pacing import LEAST_QUANTUM_BYTES, MOST_QUANTUM_BYTES, URGENT_TURNS, Gate, Pacer
from tests.fakes.clockwork import Clockwork
from tests.fakes.pools import until

RATE = 1_000_000.0


class Sender:
    """Has bytes to send, as a link does: asks for each batch, says what it took."""

    def __init__(self, gate: Gate, clock: Clockwork) -> None:
        self.gate, self.clock = gate, clock
        self.bulk = 0
        self.urgent = 0
        self.sent = 0
        self.urgent_waited: list[float] = []
        self.at: list[float] = []
        self._since = 0.0

    def send(self, bulk: int = 0, urgent: int = 0) -> None:
        self.bulk += bulk
        if urgent and not self.urgent:
            self._since = self.clock.now
        self.urgent += urgent
        self.go_on()

    def go_on(self) -> None:
        while self.bulk or self.urgent:
            if not self.gate.may(self.go_on, urgent=self.urgent > 0):
                return
            size = min(self.gate.quantum_bytes, self.urgent or self.bulk)
            if self.urgent:
                self.urgent -= size
                if not self.urgent:
                    self.urgent_waited.append(self.clock.now - self._since)
            else:
                self.bulk -= size
            self.sent += size
            self.at.append(self.clock.now)
            self.gate.spend(size)


class Reader:
    """Reads what is there, and says so afterwards; what arrives is endless."""

    def __init__(self, gate: Gate, clock: Clockwork, size: int) -> None:
        self.gate, self.clock, self.size = gate, clock, size
        self.read = 0

    def arrive(self) -> None:
        self.read += self.size
        self.gate.spend(self.size)
        if self.gate.may(self.read_on, urgent=self.size < self.gate.quantum_bytes):
            self.read_on()

    def read_on(self) -> None:
        # The socket is readable a moment later, never within the call.
        self.clock.later(0.0001, self.arrive)


def gate(rate: float | None = RATE) -> tuple[Gate, Clockwork]:
    clock = Clockwork()
    return Gate(rate, clock=clock, later=clock.later), clock


def test_without_a_limit_nobody_waits_and_nothing_is_set() -> None:
    it, clock = gate(None)
    sender = Sender(it, clock)
    sender.send(bulk=50_000_000, urgent=100)
    assert sender.sent == 50_000_100
    assert not it.limited
    assert it.waiting == 0
    assert clock.idle


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    it, clock = gate()
    sender = Sender(it, clock)
    sender.send(bulk=50_000_000)
    assert RATE * 0.1 <= sender.sent <= RATE * 0.3
    before = sender.sent
    clock.go(10.0)
    assert sender.sent - before == pytest.approx(10 * RATE, rel=0.02)


def test_all_who_have_much_to_send_get_the_same() -> None:
    it, clock = gate()
    senders = [Sender(it, clock) for _ in range(7)]
    for one in senders:
        one.send(bulk=50_000_000)
    clock.go(10.0)
    sent = [one.sent for one in senders[1:]]
    assert max(sent) - min(sent) <= 2 * it.quantum_bytes
    assert sum(one.sent for one in senders) == pytest.approx(10.25 * RATE, rel=0.03)


def test_all_who_are_sent_much_read_the_same_and_the_rate_holds() -> None:
    it, clock = gate()
    readers = [Reader(it, clock, it.quantum_bytes) for _ in range(5)]
    for one in readers:
        one.arrive()
    clock.go(20.0)
    reads = [one.read for one in readers]
    assert sum(reads) == pytest.approx(20 * RATE, rel=0.05)
    assert max(reads) <= 1.1 * min(reads)


def test_those_who_tell_later_what_they_read_are_not_all_called_at_once() -> None:
    it, clock = gate()
    it.spend(1_000_000)
    called: list[float] = []

    def turn() -> None:
        called.append(clock.now)

    for _ in range(10):
        assert not it.may(lambda turn=turn: turn(), urgent=False)  # type: ignore[misc]  # mypy infers no default
    clock.go(10.0)
    assert len(called) == 10
    apart = [later - earlier for earlier, later in pairwise(called)]
    assert min(apart) >= 0.99 * it.quantum_bytes / RATE


def test_a_step_of_somebody_does_not_wait_behind_the_prefill_of_others() -> None:
    it, clock = gate()
    crowd = [Sender(it, clock) for _ in range(10)]
    for one in crowd:
        one.send(bulk=50_000_000)
    clock.go(5.0)
    quick = Sender(it, clock)
    for _ in range(200):
        quick.send(urgent=2_000)
        clock.go(0.05)
    assert len(quick.urgent_waited) == 200
    assert max(quick.urgent_waited) == 0
    assert sum(one.sent for one in (*crowd, quick)) <= 15.3 * RATE


def test_a_step_behind_bulk_of_its_own_link_moves_that_link_up() -> None:
    it, clock = gate()
    crowd = [Sender(it, clock) for _ in range(10)]
    for one in crowd:
        one.send(bulk=50_000_000)
    clock.go(5.0)
    crowd[3].send(urgent=2_000)
    assert crowd[3].urgent == 0


def test_bulk_is_not_starved_by_what_is_urgent() -> None:
    it, clock = gate()
    pressing = [Sender(it, clock) for _ in range(3)]
    patient = Sender(it, clock)
    patient.send(bulk=50_000_000)
    for one in pressing:
        one.send(urgent=100_000_000)
    before, at = patient.sent, clock.now
    clock.go(20.0)
    waits = [
        later - earlier for earlier, later in zip(patient.at, patient.at[1:], strict=False) if earlier > at
    ]
    share = (patient.sent - before) / (20 * RATE)
    assert share == pytest.approx(1 / (URGENT_TURNS + 1), rel=0.2)
    assert max(waits) < 1.0


def test_who_left_is_not_called_and_leaves_no_timer() -> None:
    it, clock = gate()
    sender = Sender(it, clock)
    sender.send(bulk=50_000_000)
    assert it.waiting == 1
    before = sender.sent
    it.leave(sender.go_on)
    assert it.waiting == 0
    assert clock.idle
    clock.go(5.0)
    assert sender.sent == before


def test_a_turn_that_is_not_used_is_the_next_ones() -> None:
    it, clock = gate()
    busy, idle = Sender(it, clock), Sender(it, clock)
    busy.send(bulk=50_000_000)
    called: list[float] = []
    assert not it.may(lambda: called.append(clock.now), urgent=False)
    clock.go(10.0)
    assert len(called) == 1
    assert busy.sent == pytest.approx(10.25 * RATE, rel=0.03)
    assert idle.sent == 0


def test_one_that_raises_does_not_stop_the_others() -> None:
    it, clock = gate()

    def broken() -> None:
        raise ValueError("a defect")

    sender = Sender(it, clock)
    it.spend(1_000_000)
    assert not it.may(broken, urgent=True)
    sender.send(bulk=2_000_000)
    with pytest.raises(ValueError, match="a defect"):
        clock.go(10.0)
    clock.go(10.0)
    assert sender.bulk == 0


def test_datagrams_count_though_they_never_wait() -> None:
    it, clock = gate()
    sender = Sender(it, clock)
    it.spend(5_000_000)
    sender.send(bulk=100_000)
    assert sender.sent == 0
    clock.go(4.0)
    assert sender.sent == 0
    clock.go(2.0)
    assert sender.bulk == 0


def test_another_rate_holds_from_then_on_for_those_who_wait_too() -> None:
    it, clock = gate()
    sender = Sender(it, clock)
    sender.send(bulk=50_000_000)
    clock.go(1.0)
    it.limit(10 * RATE)
    before = sender.sent
    clock.go(1.0)
    assert sender.sent - before == pytest.approx(10 * RATE, rel=0.3)
    it.limit(None)
    clock.go(0.01)
    assert sender.bulk == 0


@pytest.mark.parametrize(
    ("rate", "quantum"), [(1.0, LEAST_QUANTUM_BYTES), (1e6, 20_000), (1e12, MOST_QUANTUM_BYTES)]
)
def test_a_turn_is_fifty_of_a_second_within_bounds(rate: float, quantum: int) -> None:
    it, _ = gate(rate)
    assert it.quantum_bytes == quantum


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["bulk", "urgent", "leave", "datagram"]),
            st.integers(1, 400_000),
        ),
        max_size=60,
    ),
    st.floats(30_000, 3_000_000),
)
def test_whatever_is_asked_in_whatever_order_the_rate_holds_and_nobody_is_forgotten(
    steps: list[tuple[int, str, int]], rate: float
) -> None:
    it, clock = gate(rate)
    senders = [Sender(it, clock) for _ in range(4)]
    began, other = clock.now, 0
    for index, what, size in steps:
        sender = senders[index]
        if what == "bulk":
            sender.send(bulk=size)
        elif what == "urgent":
            sender.send(urgent=size)
        elif what == "leave":
            it.leave(sender.go_on)
            sender.bulk = sender.urgent = 0
        else:
            it.spend(size)
            other += size
        clock.go(size / 1e6)
        passed = sum(one.sent for one in senders)
        most = rate * (clock.now - began) + max(rate * 0.25, 2 * it.quantum_bytes) + it.quantum_bytes
        assert passed <= most + 1
    clock.go((sum(one.bulk + one.urgent for one in senders) + other) / rate * 1.5 + 60)
    assert all(one.bulk == one.urgent == 0 for one in senders)
    assert it.waiting == 0
    assert clock.idle


async def test_a_transfer_takes_as_long_as_the_rate_says_and_leaves_room_for_a_step() -> None:
    clock = Clockwork()
    it = Gate(RATE, clock=clock, later=clock.later)
    transfers = [asyncio.create_task(it.take(1_000_000)) for _ in range(2)]
    took = 0.0
    quick = Sender(it, clock)
    while not all(one.done() for one in transfers):
        for _ in range(4):
            await asyncio.sleep(0)
        quick.send(urgent=500)
        clock.go(0.005)
        took += 0.005
        assert took < 10
    assert took == pytest.approx(1.75, rel=0.3)
    assert max(quick.urgent_waited) == 0


async def test_a_transfer_that_is_given_up_waits_no_more() -> None:
    it = Gate(1000.0)
    task = asyncio.create_task(it.take(1_000_000))
    await until(lambda: it.waiting == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert it.waiting == 0


async def test_a_transfer_goes_on_when_the_limit_is_lifted() -> None:
    pacer = Pacer(upload_bytes_per_s=1000.0)
    task = asyncio.create_task(pacer.upload.take(1_000_000))
    await until(lambda: pacer.upload.waiting == 1)
    assert (pacer.upload.rate_bytes_per_s, pacer.download.rate_bytes_per_s) == (1000.0, None)
    assert not pacer.download.limited
    pacer.limit(upload_bytes_per_s=None, download_bytes_per_s=5.0)
    async with asyncio.timeout(5):
        await task
    assert pacer.download.limited


def test_who_has_urgent_bytes_again_and_again_keeps_its_turn_with_bulk() -> None:
    it, clock = gate()
    others = [Sender(it, clock) for _ in range(6)]
    for one in others:
        one.send(bulk=10_000_000)
    mixed = Sender(it, clock)
    mixed.send(bulk=10_000_000)
    bulk, urgent = mixed.bulk, 0
    # More often than the bulk of all has had its turn once.
    while clock.now < 1010.0:
        mixed.send(urgent=100)
        urgent += 100
        clock.go(0.05)
    sent = bulk - mixed.bulk
    fair = sum(one.sent for one in others) / len(others)
    assert abs(sent - fair) <= 2 * it.quantum_bytes
    assert mixed.sent == sent + urgent
    assert max(mixed.urgent_waited) <= 0.05
    assert it.waiting == 7
