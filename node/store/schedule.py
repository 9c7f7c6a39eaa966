"""Who is asked for which chunk, and when: the decisions of a fetch from several sources. No loop, no clock, no bytes.

Chunks go out in batches, rarest first. A batch is about as much as its source delivers in `BATCH_S`, and less towards
the end, so that all sources end together. What a source owes for too long is given to the others at once, while it may
still come; when nothing waits any more, sources without work read what slower ones owe. Whoever is first wins.

A source that sent wrong bytes is never asked again. One that fails or stalls rests, longer each time, and is tried with
one batch; after `MAX_FAILURES` without a chunk in between it is given up. So whatever sources do, a fetch ends.
Rejected: racing every chunk at several sources from the start, which costs everybody's bandwidth to gain little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from node.store.pending import Pending
from node.store.rates import RateMeter
from node.store.source import Chunk

BATCH_S: Final = 1.5
"""What a batch should take its source: long enough that asking costs little, short enough to change one's mind."""
LEAST_BATCH_BYTES: Final = 256 * 1024
"""Small chunks go together whatever the rate."""
WINDOW: Final = 256
"""Most wanted chunks a source may choose a batch from."""
STALL_FLOOR_S: Final = 1.0
"""Without a chunk for this long, and `STALL_FACTOR` times as long as one takes, what is owed goes to others too."""
STALL_FACTOR: Final = 4.0
GIVE_UP_S: Final = 30.0
"""A read without a chunk for this long, beyond what the chunk takes at `LEAST_BYTES_PER_S`, is given up."""
LEAST_BYTES_PER_S: Final = 16 * 1024
BACKOFF_S: Final = 0.5
"""The first rest of a source that failed; each further one is twice as long, up to `MAX_BACKOFF_S`."""
MAX_BACKOFF_S: Final = 15.0
MAX_FAILURES: Final = 5
MAX_REST_S: Final = 300.0
"""A source that asks for a longer rest is given up for this fetch."""
RACE_TICK_S: Final = 0.1
"""How often a source without work looks whether it can help a slower one."""
RACE_S: Final = 0.3
"""Work that is taken over from slower sources at a time."""


class Holder(Protocol):
    """What a schedule needs to know of a source; `Source` has it."""

    @property
    def label(self) -> str: ...

    @property
    def is_peer(self) -> bool: ...

    @property
    def streams(self) -> int: ...

    def holds(self, chunk: Chunk) -> bool: ...

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]: ...


@dataclass(eq=False, slots=True, kw_only=True)
class Read:
    """A batch under way at one source."""

    source: int
    batch: tuple[Chunk, ...]
    owed: dict[int, Chunk]
    """What has not come yet, by number, in the order it will come."""
    since: float
    """When the last chunk came, or waiting for one began."""
    listening: bool = True
    """Whether the source is waited for; otherwise this host is busy with what came."""
    suspected: bool = False
    """Whether it took too long, and what it owes has been given to others too."""


@dataclass(eq=False, slots=True, kw_only=True)
class Standing:
    """What is known of a source."""

    holder: Holder
    meter: RateMeter = field(default_factory=RateMeter)
    reads: list[Read] = field(default_factory=list)
    failures: int = 0
    rests_until: float = 0.0
    kept_bytes: int = 0
    dropped: str | None = None
    """Why it is not asked any more."""
    lied: bool = False

    def stream_rate(self, now: float) -> float | None:
        """Bytes a second of one read, as many as there are."""
        rate = self.meter.rate(now)
        return None if rate is None else rate / max(1, len(self.reads))

    def listen(self, now: float) -> None:
        """Count time while any read waits for the source."""
        self.meter.busy(now, busy=any(read.listening for read in self.reads))


class Schedule:
    """Chunks and sources of one fetch. The caller does what it says, and says what happened."""

    def __init__(self, chunks: Sequence[Chunk], sources: Sequence[Holder]) -> None:
        """Takes time in proportion to chunks times sources: not for an event loop when there are many."""
        distinct: dict[tuple[bytes, int], Chunk] = {}
        for chunk in chunks:
            distinct.setdefault((chunk.digest, chunk.size), chunk)
        self._chunks = list(distinct.values())
        self._numbers = {(one.digest, one.size): number for number, one in enumerate(self._chunks)}
        self.sources = [Standing(holder=one) for one in sources]
        self._pending = Pending(
            len(self._chunks),
            [[number for number, one in enumerate(self._chunks) if source.holds(one)] for source in sources],
        )
        self._left = set(range(len(self._chunks)))
        self._arrived: dict[int, int] = {}
        """What is being checked, and who sent it."""
        self.total_bytes = sum(one.size for one in self._chunks)
        self.kept_bytes = 0
        self.duplicate_bytes = 0

    @property
    def done(self) -> bool:
        """Whether every chunk is kept."""
        return not self._left

    @property
    def stuck(self) -> bool:
        """Whether nothing is under way, and no source could deliver any of what is missing."""
        busy = self._arrived or any(one.reads for one in self.sources)
        return not busy and not any(self._pending.reachable(number) for number in self._left)

    @property
    def missing(self) -> list[Chunk]:
        """What is not kept yet, in the order given."""
        return [self._chunks[number] for number in sorted(self._left)]

    def next_read(self, now: float) -> Read | None:
        """Begin a read that should begin now, or None. Ask again until there is none."""
        for index in self._by_rate(now):
            standing = self.sources[index]
            if now < standing.rests_until:
                continue
            if len(standing.reads) >= (standing.holder.streams if not standing.failures else 1):
                continue
            numbers = self._pending.first(index, WINDOW, self._owed_by(standing))
            most = self._most_bytes(standing, now)
            if not numbers:
                numbers, most = self._late(index, now), self._race_bytes(standing, now)
            if numbers:
                return self._begin(index, numbers, most, now)
        return None

    def listen(self, read: Read, now: float) -> None:
        """The source of a read is waited for from now on."""
        read.listening, read.since = True, now
        self.sources[read.source].listen(now)

    def pause(self, read: Read, now: float) -> None:
        """This host is busy with what a read brought; its source is not to blame for the time."""
        read.listening = False
        self.sources[read.source].listen(now)

    def waited(self, read: Read, seconds: float, now: float) -> None:
        """Listen again after so long a pause in the middle of a chunk, which its source is not to blame for."""
        read.listening = True
        read.since += seconds
        self.sources[read.source].listen(now)

    def arrived(self, read: Read, chunk: Chunk, now: float) -> bool:
        """A chunk has come. Returns whether to check and keep it; if so, `kept` or `wrong` follows."""
        number = self._numbers.get((chunk.digest, chunk.size))
        if number is None or read.owed.pop(number, None) is None:
            return False
        standing = self.sources[read.source]
        standing.meter.add(chunk.size, now)
        read.since = now
        if read.suspected:
            read.suspected = False
            for one in read.owed:
                self._pending.take(one)
        if number not in self._left or number in self._arrived:
            self.duplicate_bytes += chunk.size
            return False
        self._arrived[number] = read.source
        self._pending.take(number)
        return True

    def kept(self, chunk: Chunk) -> list[Read]:
        """A chunk that came is what it should be. Returns reads that are not needed any more, to be cancelled."""
        number = self._numbers[chunk.digest, chunk.size]
        standing = self.sources[self._arrived.pop(number)]
        standing.failures = 0
        standing.kept_bytes += chunk.size
        self._left.discard(number)
        self.kept_bytes += chunk.size
        late = [one for one in self._reads() if one.owed.pop(number, None) is not None]
        return [one for one in late if not one.owed]

    def wrong(self, chunk: Chunk) -> tuple[Standing, list[Read]]:
        """A chunk that came is something else: its source is dropped. Returns it, and its reads, to be cancelled."""
        number = self._numbers[chunk.digest, chunk.size]
        index = self._arrived.pop(number)
        reads = self.drop(index, "sent wrong bytes")
        self.sources[index].lied = True
        self._release(number)
        return self.sources[index], reads

    def drop(self, index: int, reason: str) -> list[Read]:
        """Never ask a source again. Returns its reads, to be cancelled."""
        standing = self.sources[index]
        if standing.dropped is None:
            standing.dropped = reason
            self._pending.drop(index)
        return list(standing.reads)

    def ended(self, read: Read, now: float) -> None:
        """A read came to its end. What it left out its source does not have."""
        for number in read.owed:
            self._pending.lose(read.source, number)
        self._close(read, now)

    def failed(self, read: Read, reason: str, retry_after_s: float | None, now: float) -> list[Read]:
        """A read failed. Returns more reads of its source, to be cancelled, when that is given up."""
        self._close(read, now)
        standing = self.sources[read.source]
        if standing.dropped is not None:
            return []
        if retry_after_s is None or retry_after_s > MAX_REST_S:
            return self.drop(read.source, reason)
        # Reads that fail together are one failure.
        if now >= standing.rests_until:
            standing.failures += 1
        if standing.failures > MAX_FAILURES:
            return self.drop(read.source, reason)
        backoff_s = min(MAX_BACKOFF_S, BACKOFF_S * 2 ** (standing.failures - 1))
        standing.rests_until = max(standing.rests_until, now + max(retry_after_s, backoff_s))
        return []

    def cancelled(self, read: Read, now: float) -> None:
        """A read was cancelled; if others had to do its work because it took too long, its source rests."""
        if read.suspected:
            self.failed(read, "stopped sending", 0.0, now)
        else:
            self._close(read, now)

    def overdue(self, now: float) -> list[Read]:
        """Give what has been owed for too long to others too; return reads that are to be given up as failed."""
        for read in self._reads():
            if read.listening and not read.suspected and now >= read.since + self._stall_s(read, now):
                read.suspected = True
                for number in read.owed:
                    self._release(number)
        return [read for read in self._reads() if read.listening and now >= self._deadline(read)]

    def next_wake(self, now: float) -> float | None:
        """When to look again although nothing has happened; None when there is nothing to wait for."""
        times = [
            self._deadline(read) if read.suspected else read.since + self._stall_s(read, now)
            for read in self._reads()
            if read.listening
        ]
        usable = [one for one in self.sources if one.dropped is None]
        times += [one.rests_until for one in usable if one.rests_until > now]
        if self._reads() and any(len(one.reads) < one.holder.streams for one in usable):
            times.append(now + RACE_TICK_S)
        return min(times, default=None)

    def _reads(self) -> list[Read]:
        return [read for standing in self.sources for read in standing.reads]

    def _owed_by(self, standing: Standing) -> set[int]:
        return {number for read in standing.reads for number in read.owed}

    def _by_rate(self, now: float) -> list[int]:
        """Sources that may be asked, the fastest first; one that nothing is known of is tried before all."""
        rates = {index: one.meter.rate(now) for index, one in enumerate(self.sources) if one.dropped is None}
        return sorted(rates, key=lambda index: -(rates[index] or float("inf")))

    def _begin(self, index: int, numbers: Sequence[int], most: int, now: float) -> Read:
        standing = self.sources[index]
        ranked = {(one.digest, one.size): one for one in (self._chunks[number] for number in numbers)}
        chosen = standing.holder.batch(list(ranked.values()), most)
        batch = [one for one in chosen if (one.digest, one.size) in ranked] or [self._chunks[numbers[0]]]
        owed = {self._numbers[one.digest, one.size]: one for one in batch}
        for number in owed:
            self._pending.take(number)
        read = Read(source=index, batch=tuple(owed.values()), owed=owed, since=now)
        standing.reads.append(read)
        standing.listen(now)
        return read

    def _most_bytes(self, standing: Standing, now: float) -> int:
        """What a batch may be: a fair share of what is left, and no more than the source delivers in `BATCH_S`."""
        rate = standing.meter.rate(now)
        if rate is None or standing.failures:
            return LEAST_BATCH_BYTES
        streams = sum(one.holder.streams for one in self.sources if one.dropped is None)
        share = (self.total_bytes - self.kept_bytes) / (2 * streams)
        return int(max(LEAST_BATCH_BYTES, min(rate * BATCH_S / standing.holder.streams, share)))

    def _race_bytes(self, standing: Standing, now: float) -> int:
        return int((standing.meter.rate(now) or 0.0) * RACE_S / standing.holder.streams)

    def _late(self, index: int, now: float) -> list[int]:
        """Chunks that a source could bring well before those that owe them; the latest first."""
        mine = self.sources[index]
        rate = mine.meter.rate(now)
        if rate is None:
            return []
        rate /= len(mine.reads) + 1
        besides = self._owed_by(mine)
        copies = Counter(number for read in self._reads() for number in read.owed)
        late: list[tuple[float, int]] = []
        for read in self._reads():
            their_rate = self.sources[read.source].stream_rate(now)
            passed, due_bytes = now - read.since, 0
            for number, chunk in read.owed.items():
                due_bytes += chunk.size
                # Nothing is known of a source's rate, or it is late already: expect it to take as long again.
                expected = 0.0 if their_rate is None else due_bytes / their_rate
                left_s = expected - passed if expected > passed else passed
                mine_s = chunk.size / rate
                free = copies[number] < 2 and number not in besides and number not in self._arrived
                if free and self._pending.holds(index, number) and left_s > 1.5 * mine_s + RACE_TICK_S:
                    late.append((-left_s, number))
        return [number for _, number in sorted(late)][:WINDOW]

    def _stall_s(self, read: Read, now: float) -> float:
        rate = self.sources[read.source].stream_rate(now)
        if rate is None or not read.owed:
            return STALL_FLOOR_S
        return max(STALL_FLOOR_S, STALL_FACTOR * next(iter(read.owed.values())).size / rate)

    def _deadline(self, read: Read) -> float:
        size = next(iter(read.owed.values())).size if read.owed else 0
        return read.since + GIVE_UP_S + size / LEAST_BYTES_PER_S

    def _release(self, number: int) -> None:
        """Let others read a chunk, unless it came, or somebody who is not late is to bring it."""
        if number not in self._left or number in self._arrived:
            return
        if not any(number in read.owed and not read.suspected for read in self._reads()):
            self._pending.give_back(number)

    def _close(self, read: Read, now: float) -> None:
        standing = self.sources[read.source]
        if read in standing.reads:
            standing.reads.remove(read)
            standing.listen(now)
            for number in read.owed:
                self._release(number)
