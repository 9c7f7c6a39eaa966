"""The store keeps what is needed, never more than its quota, and gives out no byte that is not what was asked for."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.store.chunks import ChunkStore, Lease
from node.store.errors import CorruptChunk, DiskFull, QuotaExceeded, StoreUnusable, WrongBytes
from node.store.quota import on_disk
from tests.fakes.store_worker import chunk, contents

NUMBERS = range(24)
QUOTA = 10 * 4096
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path / "store")


def filled(store: ChunkStore, *numbers: int) -> Lease:
    lease = store.lease()
    lease.pin(chunk(one) for one in numbers)
    for one in numbers:
        lease.put(chunk(one), contents(one))
    return lease


def total(root: Path) -> int:
    return sum(on_disk(path.stat().st_size) for path in (root / "chunks").rglob("*") if path.is_file())


def test_what_was_put_is_read_by_another_opener(store: ChunkStore) -> None:
    filled(store, 1, 2).close()
    again = ChunkStore(store.root)
    assert again.read(chunk(1)) == contents(1)
    assert again.missing([chunk(1), chunk(3), chunk(3)]) == [chunk(3)]
    place = again.locate(chunk(2).digest)
    assert place is not None
    assert place.path.read_bytes() == contents(2)
    assert again.locate(chunk(3).digest) is None


def test_a_chunk_is_there_once_whatever_it_is_part_of(store: ChunkStore) -> None:
    with filled(store, 1), store.lease() as other:
        other.pin([chunk(1)])
        assert not other.put(chunk(1), contents(1))
    assert list(store.sizes()) == [chunk(1).digest]


def test_wrong_bytes_are_not_stored(store: ChunkStore) -> None:
    with store.lease() as lease:
        lease.pin([chunk(1)])
        for wrong in (contents(2), contents(1)[:-1], contents(1) + b"\0", b""):
            with pytest.raises(WrongBytes, match="chunk 1"):
                lease.put(chunk(1), wrong)
    assert not store.sizes()


def test_what_no_lease_needs_is_not_stored(store: ChunkStore) -> None:
    with store.lease() as lease, pytest.raises(ValueError, match="pinned"):
        lease.put(chunk(1), contents(1))


def test_every_flipped_bit_on_disk_is_noticed(store: ChunkStore) -> None:
    filled(store, 3)
    path = store.path(chunk(3).digest)
    whole = contents(3)
    for at in random.Random(1).choices(range(len(whole)), k=300):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(CorruptChunk):
            store.read(chunk(3))
    assert store.check() == [chunk(3).digest]
    store.discard(chunk(3).digest)
    assert store.missing([chunk(3)]) == [chunk(3)]


@pytest.mark.parametrize("left", [b"", b"half of i"])
def test_a_chunk_cut_short_counts_as_missing(store: ChunkStore, left: bytes) -> None:
    with filled(store, 3) as lease:
        store.path(chunk(3).digest).write_bytes(left)
        assert store.missing([chunk(3)])
        assert lease.put(chunk(3), contents(3))
        assert store.read(chunk(3)) == contents(3)


def test_what_a_killed_writer_left_is_swept_away(store: ChunkStore) -> None:
    left = store.root / "new" / chunk(1).digest.hex()
    left.write_bytes(b"half")
    filled(store, 1)
    assert not left.exists()
    assert store.read(chunk(1)) == contents(1)


def test_nothing_that_is_needed_is_removed_for_room(tmp_path: Path) -> None:
    size = on_disk(chunk(1).size)
    store = ChunkStore(tmp_path, quota_bytes=2 * size)
    kept = filled(store, 1)
    filled(store, 12).close()
    with store.lease() as lease:
        lease.pin([chunk(23)])
        assert store.missing([chunk(1), chunk(12)]) == [chunk(12)]
        with pytest.raises(QuotaExceeded, match="raise --disk"):
            lease.pin([chunk(12)])
    kept.close()
    with store.lease() as lease:
        lease.pin([chunk(12), chunk(23)])
        assert not store.has(chunk(1))


def test_a_refused_pin_leaves_nothing_pinned(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, quota_bytes=4096)
    with store.lease() as lease:
        with pytest.raises(QuotaExceeded):
            lease.pin(chunk(one) for one in range(10))
        assert not store.in_use()
        lease.pin([chunk(0)])
        assert list(store.in_use()) == [chunk(0).digest]
    assert not store.in_use()


def test_a_full_disk_leaves_nothing_half_written(store: ChunkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = filled(store, 1)
    lease.pin([chunk(2)])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DiskFull, match="make room"):
        lease.put(chunk(2), contents(2))
    monkeypatch.undo()
    assert store.missing([chunk(2)])
    assert not list((store.root / "new").iterdir())
    assert lease.put(chunk(2), contents(2))


def test_a_store_behind_a_link_is_the_store(tmp_path: Path) -> None:
    filled(ChunkStore(tmp_path / "real"), 1)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert ChunkStore(tmp_path / "link").read(chunk(1)) == contents(1)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="file"):
        ChunkStore(tmp_path / "file" / "store")


class Worker:
    """A process that uses the store."""

    def __init__(self, root: Path, quota: int = QUOTA) -> None:
        self.root = root
        self.quota = quota
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.store_worker", str(self.root), str(self.quota)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pinned: dict[int, set[int]] = {}

    def send(self, what: str, lease: int, numbers: list[int]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, lease, numbers]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, what: str, lease: int, numbers: list[int]) -> Any:
        self.send(what, lease, numbers)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(10)


CHUNKS = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6, unique=True)
WHO = st.integers(0, 1)


class TwoProcesses(RuleBasedStateMachine):
    """Any order of what two hosts do: the quota holds, and what one of them needs is there."""

    root: Path

    @initialize()
    def start(self) -> None:
        self.folder = self.root / os.urandom(8).hex()
        self.folder.mkdir()
        self.workers = [Worker(self.folder), Worker(self.folder)]
        self.stored: set[int] = set()

    @rule(who=WHO, lease=st.integers(0, 2), numbers=CHUNKS)
    def pin(self, who: int, lease: int, numbers: list[int]) -> None:
        needed = {one for worker in self.workers for held in worker.pinned.values() for one in held}
        fits = sum(on_disk(chunk(one).size) for one in needed | set(numbers)) <= QUOTA
        worker = self.workers[who]
        assert worker.do("pin", lease, numbers) == ("done" if fits else "full")
        worker.pinned.setdefault(lease, set())
        if fits:
            worker.pinned[lease] |= set(numbers)

    @rule(who=WHO, lease=st.integers(0, 2), count=st.integers(1, 4))
    def put(self, who: int, lease: int, count: int) -> None:
        numbers = sorted(self.workers[who].pinned.get(lease, ()))[:count]
        if numbers:
            assert self.workers[who].do("put", lease, numbers) == "done"
            self.stored |= set(numbers)

    @rule(who=WHO, lease=st.integers(0, 2))
    def close(self, who: int, lease: int) -> None:
        if lease in self.workers[who].pinned:
            self.workers[who].do("close", lease, [])
            del self.workers[who].pinned[lease]
            self.forget_what_nobody_needs()

    @rule(who=WHO, quota=st.integers(0, QUOTA))
    def prune(self, who: int, quota: int) -> None:
        self.workers[who].do("prune", 0, [quota])

    @rule(who=WHO)
    def kill(self, who: int) -> None:
        self.workers[who].kill()
        self.workers[who].start()
        self.forget_what_nobody_needs()

    @invariant()
    def the_quota_holds(self) -> None:
        if hasattr(self, "folder"):
            assert total(self.folder) <= QUOTA

    @invariant()
    def what_is_needed_is_there(self) -> None:
        for worker in getattr(self, "workers", ()):
            for held in worker.pinned.values():
                there = sorted(held & self.stored)
                if there:
                    assert worker.do("read", 0, there) == [True] * len(there)

    def forget_what_nobody_needs(self) -> None:
        """It may be removed from now on."""
        self.stored &= {one for worker in self.workers for held in worker.pinned.values() for one in held}

    def teardown(self) -> None:
        for worker in getattr(self, "workers", ()):
            worker.kill()


def test_any_order_of_what_two_processes_do(tmp_path: Path) -> None:
    class Here(TwoProcesses):
        root = tmp_path

    case = Here.TestCase
    case.settings = settings(
        max_examples=4, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()


def test_two_processes_at_the_same_moment(tmp_path: Path) -> None:
    """Both pin, put and let go without waiting for each other; someone looks at the quota all the while."""
    chance = random.Random(7)
    quota = 2 * 3 * 3 * 4096
    workers = [Worker(tmp_path / "store", quota), Worker(tmp_path / "store", quota)]
    watcher = ChunkStore(tmp_path / "store")
    try:
        for _ in range(25):
            sent = []
            for worker in workers:
                numbers = chance.sample(NUMBERS, 3)
                for what in ("pin", "put", "read", "close"):
                    worker.send(what, 0, numbers)
                sent.append(worker)
                # Held, since a look takes a while and files come and go.
                with watcher.lock.held():
                    assert total(watcher.root) <= quota
            for worker in sent:
                # Three chunks for each of two always fit.
                assert [worker.answer() for _ in range(4)] == ["done", "done", [True] * 3, "done"]
    finally:
        for worker in workers:
            worker.kill()
