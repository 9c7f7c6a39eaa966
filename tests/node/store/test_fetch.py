from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from node.manners.pacing import Pacer
from node.store import fetch as module
from node.store import schedule
from node.store.distrust import Distrust
from node.store.errors import NotFetched, StoreError
from node.store.fetch import fetch
from node.store.pace import Intake, Turn
from node.store.source import Chunk, SourceFailed
from tests.fakes.deadline import until
from tests.fakes.pace import HandPace
from tests.fakes.sources import FakeSource, Keeper, make_chunks

DATA = make_chunks(40, 100_000)
CHUNKS = list(DATA)
WHOLE = {chunk.digest: data for chunk, data in DATA.items()}


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


async def test_every_chunk_is_kept_from_several_sources(keeper: Keeper) -> None:
    sources = [FakeSource(name, DATA, chunk_s=0.002) for name in ("a", "b")]
    told: list[tuple[int, int]] = []
    report = await fetch(
        CHUNKS, sources, keep=keeper.keep, progress=lambda done, total: told.append((done, total))
    )
    assert keeper.kept == WHOLE
    assert report.kept_bytes == 4_000_000
    assert sum(one.kept_bytes for one in report.sources) == 4_000_000
    assert all(one.kept_bytes > 0 and one.dropped is None for one in report.sources)
    assert told[-1] == (4_000_000, 4_000_000)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert report.seconds > 0


async def test_nothing_to_fetch_takes_no_source(keeper: Keeper) -> None:
    report = await fetch([], [], keep=keeper.keep)
    assert report.kept_bytes == 0


async def test_a_liar_is_dropped_and_remembered_and_no_wrong_byte_is_kept(
    keeper: Keeper, tmp_path: Path
) -> None:
    liar, honest = FakeSource("liar", DATA), FakeSource("honest", DATA, chunk_s=0.001)
    liar.lies = CHUNKS
    distrust = Distrust(tmp_path / "distrust.json")
    report = await fetch(CHUNKS, [liar, honest], keep=keeper.keep, distrusted=distrust)
    assert keeper.kept == WHOLE
    assert {one.label: one.dropped for one in report.sources} == {"liar": "sent wrong bytes", "honest": None}
    assert "liar" in Distrust(tmp_path / "distrust.json")
    assert "honest" not in distrust

    again = FakeSource("liar", DATA)
    report = await fetch(CHUNKS, [again, FakeSource("honest", DATA)], keep=keeper.keep, distrusted=distrust)
    assert again.batches == []
    assert report.sources[0].dropped == "sent wrong bytes before"


async def test_what_a_liar_delivered_rightly_stays(keeper: Keeper) -> None:
    liar = FakeSource("liar", DATA, streams=1)
    liar.lies = CHUNKS[2:]
    with pytest.raises(NotFetched):
        await fetch(CHUNKS, [liar], keep=keeper.keep)
    assert set(keeper.kept) == {one.digest for one in CHUNKS[:2]}


async def test_a_stalled_source_costs_little_and_its_read_is_cancelled(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "STALL_FLOOR_S", 0.05)
    stalling = FakeSource("stalling", DATA)
    stalling.stalls_after = 1
    report = await fetch(CHUNKS, [stalling, FakeSource("b", DATA, chunk_s=0.001)], keep=keeper.keep)
    assert keeper.kept == WHOLE
    assert report.seconds < schedule.GIVE_UP_S / 2
    assert stalling.open == 0


async def test_a_source_that_fails_is_asked_again_when_it_says(keeper: Keeper) -> None:
    one = FakeSource("one", DATA)
    one.fails = [SourceFailed("busy", "wait", retry_after_s=0.05) for _ in range(2)]
    await fetch(CHUNKS, [one], keep=keeper.keep)
    assert keeper.kept == WHOLE


async def test_what_is_had_nowhere_is_told_and_the_rest_is_kept(keeper: Keeper) -> None:
    a, b = FakeSource("peer a", DATA, held=CHUNKS[:30]), FakeSource("peer b", DATA, held=CHUNKS[:35])
    b.lacks = CHUNKS[30:]
    a.fails = [SourceFailed("peer a refuses", "ask others", retry_after_s=None)]
    with pytest.raises(
        NotFetched, match=r"10 chunks \(1\.0 MB.*t30.*peer a refuses.*what came is kept"
    ) as caught:
        await fetch(CHUNKS, [a, b], keep=keeper.keep)
    assert caught.value.missing == 10
    assert set(keeper.kept) == {one.digest for one in CHUNKS[:30]}


async def test_without_a_source_nothing_is_fetched(keeper: Keeper) -> None:
    with pytest.raises(NotFetched, match="there is no source"):
        await fetch(CHUNKS, [], keep=keeper.keep)


async def test_a_full_disk_ends_the_fetch(keeper: Keeper) -> None:
    class DiskFull(StoreError):
        pass

    def full(chunk: Chunk, data: bytes) -> None:
        raise DiskFull("no room", "make some")

    source = FakeSource("a", DATA, chunk_s=0.01)
    with pytest.raises(DiskFull, match="no room"):
        await fetch(CHUNKS, [source], keep=full)
    assert source.open == 0


async def test_chunks_are_kept_on_worker_threads(keeper: Keeper) -> None:
    threads: set[str] = set()

    def keep(chunk: Chunk, data: bytes) -> None:
        threads.add(threading.current_thread().name)
        keeper.keep(chunk, data)

    await fetch(CHUNKS, [FakeSource("a", DATA)], keep=keep)
    assert threads
    assert all(name.startswith("keep") for name in threads)


async def test_a_cancelled_fetch_closes_its_reads_and_ends_its_threads(keeper: Keeper) -> None:
    source = FakeSource("a", DATA)
    source.stalls_after = 4
    running = asyncio.create_task(fetch(CHUNKS, [source], keep=keeper.keep))
    await until(lambda: len(keeper.kept) == 4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert source.open == 0
    assert not any(one.name.startswith("keep") for one in threading.enumerate())
    # What came is not fetched again.
    rest = [one for one in CHUNKS if one.digest not in keeper.kept]
    await fetch(rest, [FakeSource("b", DATA)], keep=keeper.keep)
    assert keeper.kept == WHOLE
    assert keeper.times == len(CHUNKS)


@pytest.mark.parametrize("turns", range(1, 40, 3))
async def test_a_fetch_can_be_cancelled_at_any_moment(keeper: Keeper, turns: int) -> None:
    sources = [FakeSource("a", DATA), FakeSource("b", DATA)]
    sources[1].lies = CHUNKS
    running = asyncio.create_task(fetch(CHUNKS, sources, keep=keeper.keep))
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [one.open for one in sources] == [0, 0]
    assert all(WHOLE[digest] == data for digest, data in keeper.kept.items())


async def test_memory_in_flight_is_bounded_while_the_disk_is_slow(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT_BYTES", 500_000)
    gate = threading.Event()

    def keep(chunk: Chunk, data: bytes) -> None:
        gate.wait(20)
        keeper.keep(chunk, data)

    source = FakeSource("a", DATA, streams=8)
    running = asyncio.create_task(fetch(CHUNKS, [source], keep=keep))
    await until(lambda: source.delivered == 5)
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.delivered == 5
    gate.set()
    await running
    assert keeper.kept == WHOLE


async def test_a_limit_holds_over_all_sources(keeper: Keeper) -> None:
    intake = Intake.at(Pacer(download_bytes_per_s=4_000_000))
    sources = [FakeSource("a", DATA), FakeSource("b", DATA)]
    report = await fetch(CHUNKS, sources, keep=keeper.keep, intake=intake)
    assert keeper.kept == WHOLE
    # Of four megabytes one passes at once.
    assert 0.7 <= report.seconds < 20
    assert report.duplicate_bytes == 0
    assert intake.peers.nbytes == 4_000_000
    assert (intake.hub.nbytes, intake.waiting) == (0, 0)


async def test_while_what_came_waits_nothing_more_is_asked_for_and_nobody_is_blamed(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "STALL_FLOOR_S", 0.02)
    monkeypatch.setattr(schedule, "GIVE_UP_S", 0.03)
    monkeypatch.setattr(schedule, "LEAST_BYTES_PER_S", 1e9)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.01)
    pace = HandPace()
    intake = Intake.at(pace)
    sources = [FakeSource(name, DATA) for name in ("a", "b", "c")]
    pace.download.opened.clear()
    running = asyncio.create_task(fetch(CHUNKS, sources, keep=keeper.keep, intake=intake))
    await until(lambda: intake.waiting == 1)
    # Ten times as long as a source may be silent.
    await asyncio.wait([running], timeout=0.3)
    assert intake.waiting == 1
    assert sum(len(one.batches) for one in sources) == 1
    pace.download.opened.set()
    report = await running
    assert keeper.kept == WHOLE
    assert (report.duplicate_bytes, [one.dropped for one in report.sources]) == (0, [None] * 3)


async def test_a_source_that_sends_a_little_now_and_then_is_late_all_the_same(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it waits for its turn its clock stands still, and does not begin anew."""

    class Dripping(FakeSource):
        async def read(
            self, batch: Sequence[Chunk], turn: Turn | None = None
        ) -> AsyncIterator[tuple[Chunk, bytes]]:
            self.batches.append(list(batch))
            while turn is not None:
                await asyncio.sleep(0.005)
                await turn(1)
            for chunk in batch:
                yield chunk, b""

    monkeypatch.setattr(schedule, "STALL_FLOOR_S", 0.1)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.01)
    drip = Dripping("drip", DATA)
    async with asyncio.timeout(20):
        await fetch(CHUNKS, [drip, FakeSource("b", DATA)], keep=keeper.keep, intake=Intake.at(HandPace()))
    assert drip.batches
    assert keeper.kept == WHOLE


async def test_slow_sources_do_not_keep_a_limited_host_from_asking_others(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.01)
    silent = [FakeSource(name, DATA, chunk_s=1e6) for name in ("a", "b", "c")]
    intake = Intake.at(HandPace())
    async with asyncio.timeout(20):
        await fetch(CHUNKS, [*silent, FakeSource("quick", DATA)], keep=keeper.keep, intake=intake)
    assert keeper.kept == WHOLE


@pytest.mark.parametrize("behaviour", ["lying", "stalling"])
async def test_one_bad_source_of_three_costs_at_most_a_fifth_of_the_work(behaviour: str) -> None:
    """Work is what is checked and stored: as much as there is, and little of what lies or came twice."""
    keeping = Keeper()
    sources = [FakeSource(name, DATA, chunk_s=0.002) for name in ("a", "b", "c")]
    if behaviour == "lying":
        sources[2].lies = CHUNKS
    else:
        sources[2].stalls_after = 3
    report = await fetch(CHUNKS, sources, keep=keeping.keep)
    assert keeping.kept == WHOLE
    assert keeping.times <= 1.2 * len(CHUNKS)
    assert report.duplicate_bytes <= 0.2 * report.kept_bytes
