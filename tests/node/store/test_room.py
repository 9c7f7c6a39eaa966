from __future__ import annotations

import asyncio

import pytest

from node.store.room import Room


async def settled(task: asyncio.Task[None]) -> bool:
    """Whether a task is done, once all that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_who_finds_no_room_waits_until_there_is() -> None:
    room = Room(10)
    await room.enter(6)
    second = asyncio.create_task(room.enter(6))
    assert not await settled(second)
    room.leave(6)
    await second
    assert room.taken_bytes == 6


async def test_nobody_overtakes_who_waits() -> None:
    room = Room(10)
    await room.enter(6)
    large = asyncio.create_task(room.enter(8))
    small = asyncio.create_task(room.enter(1))
    assert not await settled(small)
    room.leave(6)
    await large
    await small
    assert room.taken_bytes == 9


async def test_what_is_larger_than_the_room_enters_alone() -> None:
    room = Room(10)
    await room.enter(100)
    second = asyncio.create_task(room.enter(1))
    assert not await settled(second)
    room.leave(100)
    await second


async def test_who_is_cancelled_while_waiting_leaves_the_way_free() -> None:
    room = Room(10)
    await room.enter(6)
    large = asyncio.create_task(room.enter(8))
    small = asyncio.create_task(room.enter(1))
    await settled(small)
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    await small
    assert room.taken_bytes == 7


async def test_room_given_in_the_moment_of_a_cancellation_is_not_lost() -> None:
    room = Room(10)
    await room.enter(10)
    waiting = asyncio.create_task(room.enter(5))
    await settled(waiting)
    room.leave(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.taken_bytes == 0
