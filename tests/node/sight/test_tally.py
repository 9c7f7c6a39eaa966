"""What happens is counted once, under what it was."""

from __future__ import annotations

from node.sight.tally import Tally
from wire.codes import Code


def test_sessions_are_counted_by_how_they_went() -> None:
    tally = Tally()
    for _ in range(3):
        tally.session_opened()
    tally.session_refused(Code.NO_MEMORY)
    tally.session_ended()
    tally.session_ended(Code.HOP_LOST)
    tally.session_ended(Code.HOP_LOST)
    assert (tally.opened, tally.closed) == (3, 1)
    assert tally.refused == {Code.NO_MEMORY.text: 1}
    assert tally.aborted == {Code.HOP_LOST.text: 2}


def test_steps_and_their_tokens_are_counted_by_phase_and_timed() -> None:
    tally = Tally()
    tally.step(is_prefill=True, positions=100, queue_us=2_000, compute_us=3_000_000)
    tally.step(is_prefill=False, positions=1, queue_us=0, compute_us=50_000)
    tally.step_failed()
    tally.step_sent(60_000)
    assert tally.steps == {"prefill": 1, "decode": 1}
    assert tally.positions == {"prefill": 100, "decode": 1}
    assert (tally.queue.count, tally.queue.sum) == (2, 0.002)
    assert (tally.compute.count, tally.compute.sum) == (2, 3.05)
    assert (tally.hop.count, tally.hop.sum) == (1, 0.06)
    assert tally.failed_steps == 1


def test_a_connection_that_never_was_a_link_is_a_refused_handshake() -> None:
    tally = Tally()
    tally.link_ended(Code.HANDSHAKE_FAILED, established=False)
    tally.link_ended(Code.IDLE, established=True)
    assert tally.handshakes_refused == {Code.HANDSHAKE_FAILED.text: 1}
    assert tally.links_ended == {Code.IDLE.text: 1}


def test_two_hosts_of_one_process_count_apart() -> None:
    one, other = Tally(), Tally()
    one.session_refused(Code.NO_MEMORY)
    one.step_sent(1)
    assert not other.refused
    assert other.hop.count == 0
