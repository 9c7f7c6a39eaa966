"""The clockwork: acknowledgements, pings, stalls and allowances, on a clock of numbers."""

from __future__ import annotations

import pytest

from crypto.noise.cipher import CipherState
from tests.fakes.joined import MIB, SPEAKERS, Joined, closed, slip_raw, small, step, steps
from wire import limits
from wire.codes import Code
from wire.connection_table import State
from wire.errors import BadFrame, BadMessage
from wire.frames import Assembler, message_head
from wire.liveness import Allowance, Growth, Liveness
from wire.messages.link import Ack, Ping


@pytest.fixture
def live() -> Liveness:
    return Liveness(100.0, round_trip_s=0.010)


def test_an_ack_waits_for_its_delay_and_counts_all_that_came(live: Liveness) -> None:
    live.received(100.0)
    live.received(100.1)
    assert live.next_timeout() == 100.0 + limits.ACK_DELAY_S
    assert live.ack(100.1, least_wait_s=limits.ACK_DELAY_S) is None
    assert live.ack(100.0 + limits.ACK_DELAY_S, least_wait_s=limits.ACK_DELAY_S) == Ack(count=2)
    assert live.ack(200.0, least_wait_s=0.0) is None


def test_acked_messages_never_time_out(live: Liveness) -> None:
    live.output(completed=3, waiting=False, now=100.0)
    live.on_ack(3, 101.0)
    live.heard(200.0)
    assert live.verdict(200.0) is None


def test_an_unacked_message_ends_the_link(live: Liveness) -> None:
    live.output(completed=1, waiting=False, now=101.0)
    due = 101.0 + limits.ACK_TIMEOUT_S
    live.heard(due)
    assert live.verdict(due - 0.01) is None
    assert "unacknowledged" in (live.verdict(due) or "")


def test_progress_of_acks_gives_the_rest_more_time(live: Liveness) -> None:
    live.output(completed=1, waiting=False, now=101.0)
    live.output(completed=2, waiting=False, now=101.0)
    live.on_ack(1, 105.0)
    live.heard(110.0)
    assert live.verdict(105.0 + limits.ACK_TIMEOUT_S - 0.01) is None
    assert live.verdict(105.0 + limits.ACK_TIMEOUT_S) is not None


def test_a_repeated_ack_is_no_progress(live: Liveness) -> None:
    live.output(completed=2, waiting=False, now=101.0)
    live.on_ack(1, 102.0)
    live.on_ack(1, 107.9)
    live.heard(108.0)
    assert live.verdict(102.0 + limits.ACK_TIMEOUT_S) is not None


@pytest.mark.parametrize("count", [1, 4])
def test_an_ack_that_falls_or_runs_ahead_is_refused(live: Liveness, count: int) -> None:
    live.output(completed=3, waiting=False, now=100.0)
    live.on_ack(2, 100.0)
    with pytest.raises(BadMessage, match="not between 2 and 3"):
        live.on_ack(count, 100.0)


def test_silence_is_answered_by_one_ping_and_then_ended(live: Liveness) -> None:
    due = 100.0 + limits.PING_INTERVAL_S
    assert live.ping(due - 0.01) is None
    assert live.ping(due) == Ping(nonce=0)
    assert live.ping(due + 1) is None
    assert live.next_timeout() == due + limits.ACK_TIMEOUT_S
    assert live.verdict(due + limits.ACK_TIMEOUT_S - 0.01) is None
    assert "silent" in (live.verdict(due + limits.ACK_TIMEOUT_S) or "")


def test_a_pong_updates_the_round_trip(live: Liveness) -> None:
    live.ping(102.0)
    live.on_pong(0, 102.050)
    assert 0.010 < live.round_trip_s < 0.050
    assert live.verdict(110.0) is None


def test_a_peer_that_sends_but_does_not_answer_pings_is_given_up(live: Liveness) -> None:
    live.ping(102.0)
    for at in range(103, 109):
        live.heard(float(at))
    assert live.verdict(102.0 + limits.ACK_TIMEOUT_S) is not None


@pytest.mark.parametrize("nonce", [1, 7])
def test_a_pong_without_its_ping_is_refused(live: Liveness, nonce: int) -> None:
    live.ping(102.0)
    with pytest.raises(BadMessage, match="pong"):
        live.on_pong(nonce, 102.0)


def test_bytes_that_cannot_leave_end_the_link(live: Liveness) -> None:
    live.queued(101.0)
    live.queued(105.0)
    live.heard(107.0)
    assert live.verdict(101.0 + limits.ACK_TIMEOUT_S) is not None


def test_a_slow_reader_that_takes_something_stays(live: Liveness) -> None:
    live.queued(101.0)
    live.output(completed=0, waiting=True, now=106.0)
    live.heard(108.0)
    assert live.verdict(108.0) is None
    live.output(completed=0, waiting=False, now=109.0)
    live.heard(119.0)
    assert live.verdict(119.0) is None


def test_an_allowance_comes_back_with_time_and_never_exceeds_its_burst() -> None:
    allowance = Allowance(0.0)
    for _ in range(limits.CHATTER_BURST):
        allowance.spend(1000.0)
    with pytest.raises(BadMessage) as raised:
        allowance.spend(1000.0)
    assert raised.value.code is Code.FLOODING
    allowance.spend(1000.0 + 1 / limits.CHATTER_RATE_HZ)


def feed(growth: Growth, lane: Assembler, data: bytes, now: float) -> None:
    frames = lane.feed(memoryview(data))
    growth.update(lane, finished=bool(frames), now=now)


def test_a_message_that_dribbles_is_given_up() -> None:
    growth, lane = Growth(), Assembler()
    feed(growth, lane, message_head(b"h", 1_000_000), 100.0)
    feed(growth, lane, bytes(1000), 105.0)
    growth.check(100.0 + limits.STALL_TIMEOUT_S - 0.01)
    with pytest.raises(BadFrame, match="1000 bytes") as raised:
        growth.check(100.0 + limits.STALL_TIMEOUT_S)
    assert raised.value.code is Code.TIMEOUT


def test_a_message_that_grows_steadily_is_not() -> None:
    growth, lane = Growth(), Assembler()
    feed(growth, lane, message_head(b"h", 1_000_000), 100.0)
    for number in range(1, 6):
        now = 100.0 + number * limits.STALL_TIMEOUT_S
        feed(growth, lane, bytes(limits.STALL_BYTES), now - 1)
        growth.check(now)


def test_a_finished_message_starts_the_next_one_anew() -> None:
    growth, lane = Growth(), Assembler()
    feed(growth, lane, message_head(b"h", 10), 100.0)
    feed(growth, lane, bytes(10) + message_head(b"h", 10), 109.0)
    assert growth.since == 109.0
    feed(growth, lane, bytes(10), 110.0)
    growth.check(1e9)


# The same in two connections that are joined.


def test_acknowledgements_travel_with_messages_or_after_a_delay() -> None:
    pair = Joined.established()
    pair.say(pair.initiator, small())
    assert pair.responder.pending_bytes == 0
    pair.wait(limits.ACK_DELAY_S + 0.01, moving=False)
    assert pair.responder.pending_bytes > 0
    pair.exchange()
    pair.wait(limits.ACK_TIMEOUT_S * 2)
    assert pair.initiator.state is State.ESTABLISHED


def test_a_decode_rhythm_costs_no_packet_of_its_own_for_acks() -> None:
    pair = Joined.established()
    packets = 0
    for number in range(100):
        for side in pair.sides:
            side.send(small(number), now=pair.now)
            packets += pair.move(side) > 0
        pair.wait(0.03, moving=False)
        assert pair.initiator.pending_bytes == pair.responder.pending_bytes == 0
    assert packets == 200


def test_an_idle_pair_stays_alive_by_pings() -> None:
    pair = Joined.established()
    pair.wait(300.0)
    assert all(side.state is State.ESTABLISHED for side in pair.sides)
    assert pair.take(pair.initiator) == pair.take(pair.responder) == []


def test_a_silent_pair_changes_its_keys_within_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[CipherState] = []

    def note(cipher: CipherState) -> None:
        changed.append(cipher)

    monkeypatch.setattr(CipherState, "rekey", note)
    pair = Joined.established()
    pair.wait(limits.REKEY_MESSAGES * (limits.PING_INTERVAL_S + 0.1))
    assert limits.REKEY_MESSAGES * limits.PING_INTERVAL_S < 3600
    # Both directions, at the sender and at the receiver.
    assert len(set(map(id, changed))) == 4


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_peer_that_falls_silent_is_found_out_in_seconds(speaker: str) -> None:
    pair = Joined.established()
    dead, other = pair.ends(speaker)
    pair.cut[dead] = True
    pair.wait(limits.PING_INTERVAL_S + limits.ACK_TIMEOUT_S + 0.1)
    assert closed(pair.take(other)).code is Code.TIMEOUT


def test_a_peer_that_sends_but_no_longer_receives_is_found_out() -> None:
    pair = Joined.established()
    pair.cut[pair.initiator] = True
    pair.initiator.send(small(), now=pair.now)
    for number in range(80):
        if pair.responder.state is State.ESTABLISHED:
            pair.responder.send(small(number), now=pair.now)
        pair.wait(0.1)
    ending = closed(pair.take(pair.initiator))
    assert ending.code is Code.TIMEOUT
    assert "unacknowledged" in ending.detail


def test_a_stream_that_takes_no_bytes_is_found_out() -> None:
    pair = Joined.established()
    pair.initiator.send(step(MIB), now=pair.now)
    for number in range(70):
        pair.responder.send(small(number), now=pair.now)
        pair.move(pair.responder)
        pair.wait(0.1, moving=False)
        if pair.initiator.state is State.CLOSED:
            break
    assert "read nothing" in closed(pair.take(pair.initiator)).detail


def test_a_slow_link_that_moves_is_left_alone() -> None:
    pair = Joined.established()
    pair.initiator.send(step(4 * MIB), now=pair.now)
    received: list[int] = []
    for _ in range(40):
        pair.move(pair.initiator, 128 * 1024)
        pair.move(pair.responder)
        pair.wait(3.0, moving=False)
        pair.move(pair.responder)
        assert pair.initiator.state is pair.responder.state is State.ESTABLISHED
        received += steps(pair.take(pair.responder))
    assert received == [0]


def test_a_peer_that_dribbles_a_long_message_is_given_up() -> None:
    pair = Joined.established()
    slip_raw(pair.initiator, b"\xa0" * 10, bytes(MIB))
    pair.move(pair.initiator, 1)
    for _ in range(int(limits.STALL_TIMEOUT_S) + 1):
        pair.move(pair.initiator, 1)
        pair.wait(1.0, moving=False)
        pair.move(pair.responder)
    ending = closed(pair.take(pair.responder))
    assert ending.code is Code.TIMEOUT
    assert "unfinished" in ending.detail
