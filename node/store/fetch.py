"""Fetches chunks from several sources at once, each checked before it counts.

`schedule` decides who is asked for what; this runs the reads, hands what comes to `keep` on worker threads, and tells
the schedule what happened. What is in memory at once is bounded. Chunks that `keep` has taken stay, whatever happens
after: a fetch that is cancelled or fails goes on where it was when it is started again with what is missing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from node.store.distrust import Distrust
from node.store.errors import NotFetched, StoreError, WrongBytes
from node.store.pace import AnyPace, Intake, Turn
from node.store.room import Room
from node.store.schedule import Read, Schedule
from node.store.source import Chunk, Source, SourceFailed

IN_FLIGHT_BYTES: Final = 128 * 1024 * 1024
"""Security limit: chunks being received or checked at once; a single one that is larger goes alone."""
KEEP_WORKERS: Final = max(2, min(8, os.cpu_count() or 1))
"""Threads that check and store; a digest is computed by one core, beside the loop."""
_LOOK_AGAIN_S: Final = 0.1
"""Under a limit one read begins in this time, and none while what came waits: more would bring nothing sooner."""
_NAMED: Final = 3
"""Missing chunks that an error names."""

Keep = Callable[[Chunk, bytes], None]
"""Checks and stores a chunk, on a worker thread. Raises `WrongBytes`, or `StoreError` when it cannot store."""
Progress = Callable[[int, int], None]
"""Told the bytes that are kept and the bytes in all, after each chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What a source did in a fetch."""

    label: str
    kept_bytes: int
    dropped: str | None
    """Why it was not asked any more, if so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch took."""

    sources: tuple[SourceReport, ...]
    kept_bytes: int
    duplicate_bytes: int
    """That came twice, because a source was slow."""
    seconds: float


async def fetch(
    chunks: Sequence[Chunk],
    sources: Sequence[Source],
    *,
    keep: Keep,
    intake: Intake | None = None,
    progress: Progress | None = None,
    distrusted: Distrust | None = None,
) -> FetchReport:
    """Read every chunk from some source and keep it.

    Args:
        intake: what everything goes through that comes, of this fetch and of others.
        distrusted: sources that are not asked; a peer that sends wrong bytes is added.

    Raises:
        NotFetched: no source is left that would deliver some of the chunks. Others are kept.
        StoreError: what `keep` raised, `WrongBytes` apart.
    """
    trusted = [one for one in sources if distrusted is None or one.label not in distrusted]
    schedule = await asyncio.to_thread(Schedule, chunks, trusted)
    began = monotonic()
    async with _workers() as workers:
        work = _Fetch(schedule, trusted, keep=_Keeping(keep, workers, progress, distrusted), intake=intake)
        await work.run()
    reports = [
        SourceReport(label=one.label, kept_bytes=0, dropped="sent wrong bytes before")
        for one in sources
        if one not in trusted
    ] + [
        SourceReport(label=one.holder.label, kept_bytes=one.kept_bytes, dropped=one.dropped)
        for one in schedule.sources
    ]
    if not schedule.done:
        raise _not_fetched(schedule.missing, reports)
    return FetchReport(
        sources=tuple(reports),
        kept_bytes=schedule.kept_bytes,
        duplicate_bytes=schedule.duplicate_bytes,
        seconds=monotonic() - began,
    )


@dataclass(frozen=True, slots=True)
class _Keeping:
    """What to do with a chunk that came, and with a source that lied."""

    keep: Keep
    workers: ThreadPoolExecutor
    progress: Progress | None
    distrusted: Distrust | None


class _Fetch:
    """The tasks of one fetch."""

    def __init__(
        self, schedule: Schedule, sources: Sequence[Source], *, keep: _Keeping, intake: Intake | None
    ) -> None:
        self._schedule = schedule
        self._sources = sources
        self._keeping = keep
        self._room = Room(IN_FLIGHT_BYTES)
        self._intake = intake or Intake.at(AnyPace())
        self._began_at = float("-inf")
        self._changed = asyncio.Event()
        self._reading: dict[Read, asyncio.Task[SourceFailed | None]] = {}

    async def run(self) -> None:
        """Read until all is kept, or nothing more can be had. Raises what `keep` raised."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not (self._schedule.done or self._schedule.stuck):
                    self._changed.clear()
                    now = monotonic()
                    self._cancel(self._schedule.overdue(now))
                    wait_s = self._begin(tasks, now)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._changed.wait()
                self._cancel(tuple(self._reading))
        except* StoreError as group:
            raise _first(group) from group

    def _begin(self, tasks: asyncio.TaskGroup, now: float) -> float | None:
        """Begin the reads that should be under way; return when to look again, in seconds."""
        while (held_s := self._held_back_s(now)) <= 0:
            read = self._schedule.next_read(now)
            if read is None:
                break
            self._began_at = now
            task = tasks.create_task(self._read(tasks, read))
            self._reading[read] = task
            task.add_done_callback(partial(self._finished, read))
        wake = self._schedule.next_wake(now)
        waits = [max(0.0, wake - now)] if wake is not None else []
        return min([*waits, held_s] if held_s > 0 else waits, default=None)

    def _held_back_s(self, now: float) -> float:
        """Seconds until another read may begin; 0 when one may begin now."""
        if not self._intake.limited or not self._reading:
            return 0.0
        return _LOOK_AGAIN_S if self._intake.waiting else max(0.0, self._began_at + _LOOK_AGAIN_S - now)

    def _cancel(self, reads: Iterable[Read]) -> None:
        for read in reads:
            if (task := self._reading.get(read)) is not None:
                task.cancel()

    def _finished(self, read: Read, task: asyncio.Task[SourceFailed | None]) -> None:
        """Tell the schedule how a read ended; also of one that was cancelled before it began."""
        now = monotonic()
        del self._reading[read]
        if task.cancelled() or task.exception() is not None:
            self._schedule.cancelled(read, now)
        elif (failure := task.result()) is not None:
            self._cancel(self._schedule.failed(read, failure.cause, failure.retry_after_s, now))
        else:
            self._schedule.ended(read, now)
        self._changed.set()

    async def _read(self, tasks: asyncio.TaskGroup, read: Read) -> SourceFailed | None:
        """Take in the chunks of one batch; returns why it failed, if so."""
        room = max(one.size for one in read.batch)
        self._schedule.pause(read, monotonic())
        try:
            source = self._sources[read.source]
            async with closing(source.read(read.batch, self._turns(read, source))) as stream:
                while True:
                    await self._room.enter(room)
                    self._schedule.listen(read, monotonic())
                    passed_on = False
                    try:
                        item = await anext(stream, None)
                        if item is None:
                            return None
                        chunk, data = item
                        if self._schedule.arrived(read, chunk, monotonic()):
                            tasks.create_task(self._keep(chunk, data, room))
                            passed_on = True
                    finally:
                        self._schedule.pause(read, monotonic())
                        if not passed_on:
                            self._room.leave(room)
        except SourceFailed as failure:
            return failure

    def _turns(self, read: Read, source: Source) -> Turn:
        """What a source awaits for all that comes: while it does, nothing is expected of it."""
        flow = self._intake.of(is_peer=source.is_peer)

        async def turn(nbytes: int) -> None:
            if not flow.limited:
                await flow.take(nbytes)
                return
            began = monotonic()
            self._schedule.pause(read, began)
            try:
                await flow.take(nbytes)
            finally:
                now = monotonic()
                self._schedule.waited(read, now - began, now)

        return turn

    async def _keep(self, chunk: Chunk, data: bytes, room: int) -> None:
        """Check and store a chunk on a worker."""
        keeping = self._keeping
        try:
            await asyncio.get_running_loop().run_in_executor(keeping.workers, keeping.keep, chunk, data)
        except WrongBytes:
            liar, reads = self._schedule.wrong(chunk)
            self._cancel(reads)
            if keeping.distrusted is not None and liar.holder.is_peer:
                await asyncio.to_thread(keeping.distrusted.remember, liar.holder.label)
        else:
            self._cancel(self._schedule.kept(chunk))
            if keeping.progress is not None:
                keeping.progress(self._schedule.kept_bytes, self._schedule.total_bytes)
        finally:
            self._room.leave(room)
            self._changed.set()


@asynccontextmanager
async def _workers() -> AsyncIterator[ThreadPoolExecutor]:
    """Threads of this fetch alone; at the end none of them is storing a chunk any more."""
    workers = ThreadPoolExecutor(KEEP_WORKERS, thread_name_prefix="keep")
    try:
        yield workers
    finally:
        ending = asyncio.ensure_future(asyncio.to_thread(workers.shutdown, cancel_futures=True))
        await asyncio.shield(ending)


@asynccontextmanager
async def closing(
    stream: AsyncIterator[tuple[Chunk, bytes]],
) -> AsyncIterator[AsyncIterator[tuple[Chunk, bytes]]]:
    """End a source's read when the block ends, so that its connection is closed now and not some time later."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


def _first(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, StoreError):
        raise error
    return error


def _not_fetched(missing: Sequence[Chunk], reports: Sequence[SourceReport]) -> NotFetched:
    names = ", ".join(dict.fromkeys(one.name for one in missing[:_NAMED]))
    told = "; ".join(f"{one.label}: {one.dropped or 'does not have the rest'}" for one in reports)
    return NotFetched(
        f"{len(missing)} chunks ({sum(one.size for one in missing) / 1e6:.1f} MB, of {names}"
        f"{' and others' if len(missing) > _NAMED else ''}) could not be had ({told or 'there is no source'})",
        "start again when other peers or the hub can be reached; what came is kept",
        missing=len(missing),
    )
