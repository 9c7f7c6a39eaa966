"""The latest records are kept within bounds; who follows gets each new one, or is told how many it missed."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from node.sight.errors import TooManyFollowers
from node.sight.records import Record
from node.sight.ring import MAX_FOLLOWERS, MAX_WAITING, Following, Ring


def record(number: int, *, level: int = logging.INFO, message: str = "") -> Record:
    return Record(
        time=float(number), level="info", number=level, logger="test", message=message or str(number)
    )


def messages(records: list[Record]) -> list[str]:
    return [one.message for one in records]


async def following(reader: Following, count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [(await anext(reader)).message for _ in range(count)]


def test_the_last_records_are_given_oldest_first() -> None:
    ring = Ring(max_records=5)
    for number in range(9):
        ring.add(record(number))
    assert messages(ring.past(3)) == ["6", "7", "8"]
    assert messages(ring.past(100)) == ["4", "5", "6", "7", "8"]
    assert ring.past(0) == []


def test_only_records_that_are_grave_enough_are_given_and_counted() -> None:
    ring = Ring()
    for number in range(10):
        ring.add(record(number, level=logging.ERROR if number % 5 == 0 else logging.DEBUG))
    assert messages(ring.past(2, logging.WARNING)) == ["0", "5"]


def test_long_messages_push_out_more_but_never_the_newest() -> None:
    ring = Ring(max_chars=100)
    for number in range(10):
        ring.add(record(number, message=str(number) * 30))
    assert [one[0] for one in messages(ring.past(100))] == ["7", "8", "9"]
    ring.add(record(10, message="x" * 1000))
    assert messages(ring.past(100)) == ["x" * 1000]


async def test_a_reader_gets_the_past_and_then_what_is_new_with_nothing_between() -> None:
    ring = Ring()
    for number in range(3):
        ring.add(record(number))
    with ring.follow(2) as reader:
        ring.add(record(3))
        assert await following(reader, 3) == ["1", "2", "3"]
        waiting = asyncio.create_task(following(reader, 1))
        await asyncio.sleep(0)
        ring.add(record(4, level=logging.INFO))
        assert await waiting == ["4"]


async def test_a_reader_is_woken_by_a_record_of_another_thread() -> None:
    ring = Ring()
    count = 500
    with ring.follow() as reader:
        waiting = asyncio.create_task(following(reader, count))

        def talk() -> None:
            for number in range(count):
                ring.add(record(number))

        thread = threading.Thread(target=talk)
        thread.start()
        assert await waiting == [str(number) for number in range(count)]
        await asyncio.to_thread(thread.join)
        assert reader.dropped == 0


async def test_a_reader_that_is_too_slow_loses_the_oldest_and_is_told_how_many() -> None:
    ring = Ring()
    with ring.follow() as reader:
        for number in range(MAX_WAITING + 7):
            ring.add(record(number))
        assert await following(reader, 2) == ["7", "8"]
        assert reader.dropped == 7


async def test_the_past_that_was_asked_for_is_not_lost_however_long() -> None:
    ring = Ring()
    for number in range(3 * MAX_WAITING):
        ring.add(record(number))
    with ring.follow(3 * MAX_WAITING) as reader:
        assert len(await following(reader, 3 * MAX_WAITING)) == 3 * MAX_WAITING
        assert reader.dropped == 0


async def test_a_reader_that_left_or_was_cancelled_is_handed_nothing() -> None:
    ring = Ring()

    async def read() -> None:
        with ring.follow() as reader:
            async for _ in reader:
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    assert len(ring._followers) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ring._followers


async def test_readers_are_bounded() -> None:
    ring = Ring()
    readers = [ring.follow() for _ in range(MAX_FOLLOWERS)]
    with pytest.raises(TooManyFollowers, match="follow the log already"):
        ring.follow()
    ring.leave(readers[0])
    ring.leave(ring.follow())


def test_a_record_after_the_readers_loop_is_closed_harms_nothing() -> None:
    ring = Ring()

    async def begin() -> Following:
        return ring.follow()

    asyncio.run(begin())
    ring.add(record(1))
    assert messages(ring.past(1)) == ["1"]
