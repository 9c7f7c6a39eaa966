"""Who watches slowly misses moments in between, and never the last."""

from __future__ import annotations

import asyncio

import pytest

from node.lifecycle.errors import TooMany
from node.lifecycle.following import MAX_WATCHERS, SliceStatus, Watchers
from node.lifecycle.happenings import Pauser
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish

HERE, THERE = (Wish(key=SliceKey(name, None)) for name in ("here", "there"))


def status(wish: Wish, state: State) -> SliceStatus:
    return SliceStatus(wish=wish, state=state)


async def test_a_slow_watcher_reads_the_latest_of_each_slice_and_the_longest_waiting_first() -> None:
    watchers = Watchers()
    watcher = watchers.add(None)
    for state in (State.LOADING, State.SERVING, State.DRAINING):
        watchers.tell(status(HERE, state))
    watchers.tell(status(THERE, State.LOADING))
    assert await watcher.next() == status(HERE, State.DRAINING)
    assert await watcher.next() == status(THERE, State.LOADING)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watcher.next()
    watchers.tell(status(HERE, State.STOPPED))
    assert (await watcher.next()).state is State.STOPPED


async def test_who_watches_one_slice_hears_of_no_other() -> None:
    watchers = Watchers()
    watcher = watchers.add(HERE.key)
    watchers.tell(status(THERE, State.FAILED))
    watchers.tell(status(HERE, State.LOADING))
    assert (await watcher.next()).wish == HERE


async def test_watchers_are_bounded_and_who_leaves_makes_room() -> None:
    watchers = Watchers()
    all_of_them = [watchers.add(None) for _ in range(MAX_WATCHERS)]
    with pytest.raises(TooMany, match=str(MAX_WATCHERS)):
        watchers.add(None)
    watchers.remove(all_of_them[0])
    watchers.remove(all_of_them[0])
    assert len(watchers) == MAX_WATCHERS - 1
    watchers.add(None)


def test_a_status_says_in_a_word_what_a_slice_does() -> None:
    paused = SliceStatus(wish=HERE, state=State.SERVING, paused_by=frozenset({Pauser.PERSON}))
    assert (paused.word, paused.at_rest) == ("paused", True)
    assert status(HERE, State.SERVING).word == "serving"
    loading = SliceStatus(wish=HERE, state=State.LOADING, paused_by=frozenset({Pauser.PERSON}))
    assert (loading.word, loading.at_rest) == ("loading", False)
