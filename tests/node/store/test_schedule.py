from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store import schedule as module
from node.store.schedule import Read, Schedule
from node.store.source import Chunk
from tests.fakes.sources import FakeSource, make_chunks

MIB = 1 << 20
DATA = make_chunks(12, 100)
CHUNKS = list(DATA)


def big(count: int, size: int = 4 * MIB) -> list[Chunk]:
    return [Chunk(digest=bytes([number]) * 32, size=size, name=f"t{number}") for number in range(count)]


def source(label: str, chunks: Sequence[Chunk], streams: int = 1) -> FakeSource:
    return FakeSource(label, dict.fromkeys(chunks, b""), streams=streams)


def reads(schedule: Schedule, now: float) -> list[Read]:
    found = []
    while (read := schedule.next_read(now)) is not None:
        found.append(read)
    return found


def deliver(schedule: Schedule, read: Read, now: float) -> None:
    """A read brings all it owes, rightly, at one moment, and ends."""
    for chunk in list(read.owed.values()):
        if schedule.arrived(read, chunk, now):
            schedule.kept(chunk)
    schedule.ended(read, now)


def test_the_rarest_chunks_are_asked_for_first() -> None:
    chunks = big(4)
    schedule = Schedule(
        chunks, [source("all", chunks), source("some", chunks[:3]), source("two", chunks[:2])]
    )
    first = {schedule.sources[read.source].holder.label: read.batch for read in reads(schedule, 0.0)}
    assert first["all"] == (chunks[3],)
    assert first["some"] == (chunks[2],)
    assert first["two"] == (chunks[0],)


def test_a_source_has_no_more_reads_than_streams() -> None:
    chunks = big(9)
    assert len(reads(Schedule(chunks, [source("a", chunks, 3)]), 0.0)) == 3


def test_small_chunks_go_together_before_anything_is_known() -> None:
    (read,) = reads(Schedule(CHUNKS, [source("a", CHUNKS)]), 0.0)
    assert read.batch == tuple(CHUNKS)


def test_the_same_chunk_named_twice_is_read_once() -> None:
    schedule = Schedule([*CHUNKS, *CHUNKS], [source("a", CHUNKS)])
    (read,) = reads(schedule, 0.0)
    assert len(read.batch) == len(CHUNKS)
    deliver(schedule, read, 1.0)
    assert schedule.done
    assert schedule.kept_bytes == schedule.total_bytes == 1200


def test_nothing_to_fetch_is_done() -> None:
    assert Schedule([], [source("a", [])]).done


def test_a_fast_source_gets_more_at_a_time_and_is_asked_first() -> None:
    chunks = big(200)
    schedule = Schedule(chunks, [source("slow", chunks), source("fast", chunks)])
    slow, fast = reads(schedule, 0.0)
    deliver(schedule, fast, 0.1)
    deliver(schedule, slow, 2.0)
    # The fast one brings another, so that it is known to be fast at this time too.
    again = next(
        read for read in reads(schedule, 2.0) if schedule.sources[read.source].holder.label == "fast"
    )
    assert sum(one.size for one in again.batch) == pytest.approx(4 * MIB / 0.1 * module.BATCH_S, rel=0.1)
    (other,) = schedule.sources[0].reads
    assert len(other.batch) < len(again.batch) / 4


def test_towards_the_end_batches_are_small_so_that_all_end_together() -> None:
    chunks = big(16)
    schedule = Schedule(chunks, [source("a", chunks), source("b", chunks)])
    for read in reads(schedule, 0.0):
        deliver(schedule, read, 0.01)
    sizes = [len(read.batch) for read in reads(schedule, 0.01)]
    assert sizes == [3, 3]


def test_wrong_bytes_drop_a_source_for_good_and_the_chunk_goes_to_another() -> None:
    chunks = big(1)
    schedule = Schedule(chunks, [source("liar", chunks)])
    (read,) = reads(schedule, 0.0)
    assert schedule.arrived(read, chunks[0], 0.1)
    liar, cancelled = schedule.wrong(chunks[0])
    assert liar.lied
    assert cancelled == [read]
    schedule.cancelled(read, 0.1)
    assert reads(schedule, 1000.0) == []
    assert schedule.stuck
    assert schedule.missing == chunks


def test_what_a_liar_brought_rightly_stays() -> None:
    chunks = big(3)
    schedule = Schedule(chunks, [source("liar", chunks, 2), source("b", chunks)])
    first, second, other = reads(schedule, 0.0)
    schedule.arrived(first, first.batch[0], 0.1)
    schedule.kept(first.batch[0])
    schedule.arrived(second, second.batch[0], 0.1)
    schedule.wrong(second.batch[0])
    assert schedule.sources[0].kept_bytes == 4 * MIB
    assert schedule.missing == [*second.batch, *other.batch]


def test_a_failed_source_rests_longer_each_time_and_is_given_up_in_the_end() -> None:
    schedule = Schedule(CHUNKS, [source("a", CHUNKS)])
    now, rests = 0.0, []
    while reading := reads(schedule, now):
        schedule.failed(reading[0], "broke off", 0.0, now)
        rests.append(schedule.sources[0].rests_until - now)
        assert reads(schedule, now + rests[-1] * 0.99) == []
        now = schedule.sources[0].rests_until
    assert rests[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert schedule.sources[0].dropped == "broke off"
    assert schedule.stuck


def test_a_source_that_says_when_to_come_back_is_not_asked_before() -> None:
    schedule = Schedule(CHUNKS, [source("a", CHUNKS)])
    (read,) = reads(schedule, 0.0)
    schedule.failed(read, "busy", 60.0, 0.0)
    assert reads(schedule, 59.0) == []
    assert schedule.next_wake(0.0) == 60.0
    assert reads(schedule, 60.0)


@pytest.mark.parametrize("retry", [None, module.MAX_REST_S + 1])
def test_a_source_that_is_not_worth_asking_again_is_not_asked(retry: float | None) -> None:
    schedule = Schedule(CHUNKS, [source("a", CHUNKS, 2), source("b", CHUNKS)])
    read = reads(schedule, 0.0)[0]
    schedule.failed(read, "refuses", retry, 0.0)
    assert schedule.sources[0].dropped == "refuses"


def test_a_chunk_kept_in_between_makes_failures_count_anew() -> None:
    chunks = big(3)
    schedule = Schedule(chunks, [source("a", chunks)])
    now = 0.0
    for _ in range(3):
        (read,) = reads(schedule, now)
        schedule.failed(read, "broke off", 0.0, now)
        now = schedule.sources[0].rests_until
    (read,) = reads(schedule, now)
    deliver(schedule, read, now)
    assert schedule.sources[0].failures == 0


def test_what_a_source_leaves_out_it_is_not_asked_for_again() -> None:
    schedule = Schedule(CHUNKS, [source("a", CHUNKS), source("b", CHUNKS)])
    (read,) = reads(schedule, 0.0)
    schedule.ended(read, 1.0)
    (again,) = reads(schedule, 1.0)
    assert again.source != read.source


def test_what_is_owed_for_too_long_goes_to_another_at_once() -> None:
    chunks = big(1)
    schedule = Schedule(chunks, [source("a", chunks), source("b", chunks)])
    (stalled,) = reads(schedule, 0.0)
    assert schedule.next_wake(0.0) is not None
    assert schedule.overdue(module.STALL_FLOOR_S - 0.1) == []
    assert reads(schedule, module.STALL_FLOOR_S - 0.1) == []
    assert schedule.overdue(module.STALL_FLOOR_S) == []
    (other,) = reads(schedule, module.STALL_FLOOR_S)
    assert other.batch == stalled.batch
    schedule.arrived(other, chunks[0], 1.1)
    assert schedule.kept(chunks[0]) == [stalled]
    schedule.cancelled(stalled, 1.1)
    assert schedule.sources[stalled.source].rests_until > 1.1


def test_the_time_this_host_takes_itself_is_not_a_stall() -> None:
    chunks = big(1)
    schedule = Schedule(chunks, [source("a", chunks), source("b", chunks)])
    (read,) = reads(schedule, 0.0)
    schedule.pause(read, 0.0)
    schedule.overdue(100.0)
    assert reads(schedule, 100.0) == []
    schedule.listen(read, 100.0)
    schedule.overdue(100.0)
    assert reads(schedule, 100.0) == []


def test_a_late_source_that_comes_after_all_goes_on() -> None:
    chunks = big(2, 100)
    schedule = Schedule(chunks, [source("a", chunks)])
    (read,) = reads(schedule, 0.0)
    schedule.overdue(2.0)
    before = read.suspected
    assert schedule.arrived(read, chunks[0], 2.5)
    schedule.kept(chunks[0])
    assert (before, read.suspected) == (True, False)
    assert schedule.sources[0].failures == 0
    assert reads(schedule, 2.5) == []


def test_a_source_that_never_delivers_is_given_up_even_when_it_is_the_only_one() -> None:
    chunks = big(1)
    schedule = Schedule(chunks, [source("a", chunks)])
    now = 0.0
    for _ in range(20):
        for _ in reads(schedule, now):
            pass
        for read in schedule.overdue(now):
            schedule.cancelled(read, now)
        if schedule.stuck:
            break
        wake = schedule.next_wake(now)
        assert wake is not None
        now = max(wake, now + 0.01)
        # Looks once a second would take too many turns here: only what is due is waited for.
        now = max(now, schedule.sources[0].rests_until)
        now += module.GIVE_UP_S + 4 * MIB / module.LEAST_BYTES_PER_S
    assert schedule.stuck
    assert schedule.sources[0].dropped == "stopped sending"


def test_at_the_end_a_fast_source_takes_over_what_a_slow_one_owes() -> None:
    chunks = big(3)
    schedule = Schedule(chunks, [source("fast", chunks), source("slow", chunks)])
    fast, slow = reads(schedule, 0.0)
    deliver(schedule, fast, 0.05)
    (fast,) = reads(schedule, 0.05)
    deliver(schedule, fast, 0.10)
    assert reads(schedule, 0.15) == []
    (race,) = reads(schedule, 1.0)
    assert race.batch == slow.batch
    assert schedule.arrived(race, race.batch[0], 1.05)
    assert schedule.kept(race.batch[0]) == [slow]
    assert schedule.done


def test_nobody_races_a_source_that_will_be_done_as_soon() -> None:
    chunks = big(40)
    schedule = Schedule(chunks, [source("a", chunks), source("b", chunks)])
    for read in reads(schedule, 0.0):
        deliver(schedule, read, 0.5)
    batches = reads(schedule, 0.5)
    now = 0.5
    while len(schedule.missing) > 1 and batches:
        now += 0.5
        read = batches.pop(0)
        deliver(schedule, read, now)
        batches += reads(schedule, now)
    assert schedule.duplicate_bytes == 0


def test_a_chunk_that_comes_twice_is_counted_and_not_kept_again() -> None:
    chunks = big(1)
    schedule = Schedule(chunks, [source("a", chunks), source("b", chunks)])
    (a,) = reads(schedule, 0.0)
    schedule.overdue(5.0)
    (b,) = reads(schedule, 5.0)
    assert schedule.arrived(a, chunks[0], 5.1)
    assert not schedule.arrived(b, chunks[0], 5.1)
    assert schedule.duplicate_bytes == 4 * MIB


def test_what_nobody_asked_for_is_not_taken() -> None:
    schedule = Schedule(CHUNKS[:2], [source("a", CHUNKS)])
    (read,) = reads(schedule, 0.0)
    assert not schedule.arrived(read, CHUNKS[5], 0.1)
    assert schedule.arrived(read, CHUNKS[0], 0.1)
    assert not schedule.arrived(read, CHUNKS[0], 0.1)


MIDDLING = big(12, 100_000)


@settings(max_examples=40)
@given(st.data())
def test_whatever_sources_do_a_fetch_ends_and_loses_nothing(data: st.DataObject) -> None:
    """Sources lie, fail, leave out, stall and come late; one honest source, or none, holds everything."""
    num_sources = data.draw(st.integers(1, 4))
    held = [data.draw(st.sets(st.sampled_from(MIDDLING))) for _ in range(num_sources)]
    honest = data.draw(st.booleans())
    if honest:
        held[0] = set(MIDDLING)
    sources = [
        source(str(index), [one for one in MIDDLING if one in mine], 2) for index, mine in enumerate(held)
    ]
    schedule = Schedule(MIDDLING, sources)
    now, kept, checking = 0.0, set[Chunk](), list[Chunk]()
    under_way: list[Read] = []

    def cancel(some: list[Read]) -> None:
        for read in some:
            if read in under_way:
                under_way.remove(read)
                schedule.cancelled(read, now)

    def judge(chunk: Chunk, right: bool) -> None:
        checking.remove(chunk)
        if right:
            assert chunk not in kept
            kept.add(chunk)
            cancel(schedule.kept(chunk))
        else:
            cancel(schedule.wrong(chunk)[1])

    for _ in range(3000):
        if schedule.done or schedule.stuck:
            break
        for read in reads(schedule, now):
            assert all(sources[read.source].holds(one) for one in read.batch)
            under_way.append(read)
        cancel(schedule.overdue(now))
        looks = checking and (not under_way or data.draw(st.booleans()))
        if looks:
            chunk = checking[0]
            sender = schedule._arrived[schedule._numbers[chunk.digest, chunk.size]]
            judge(chunk, right=(honest and sender == 0) or data.draw(st.integers(0, 9)) > 0)
            continue
        # An honest source may be late, but not by so much that anybody would give it up.
        patience = min(
            (one.since + 20.0 for one in under_way if honest and one.source == 0), default=math.inf
        )
        waits = not under_way or data.draw(st.integers(0, 9)) == 0
        if waits and now < patience:
            wake = schedule.next_wake(now)
            now = min(patience, max(now + 0.05, wake if wake is not None and not checking else now))
            continue
        read = data.draw(st.sampled_from(under_way))
        good = honest and read.source == 0
        what = "deliver" if good else data.draw(st.sampled_from(["deliver", "end", "fail", "wait", "refuse"]))
        now += 0.01
        if what == "deliver" and read.owed:
            chunk = next(iter(read.owed.values()))
            if schedule.arrived(read, chunk, now):
                checking.append(chunk)
        elif what in {"deliver", "end"}:
            under_way.remove(read)
            schedule.ended(read, now)
        elif what in {"fail", "refuse"}:
            under_way.remove(read)
            cancel(schedule.failed(read, what, 0.1 if what == "fail" else None, now))
    else:
        pytest.fail("the fetch did not end")
    assert kept == set(MIDDLING) - set(schedule.missing)
    assert schedule.kept_bytes == 100_000 * len(kept)
    if honest:
        assert schedule.done
    assert schedule.done or not under_way
