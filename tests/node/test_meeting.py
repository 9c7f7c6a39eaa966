"""A host keeps a few links to those it knows of, tries those that failed again, and says why it is alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node import meeting as module
from node.discovery import entries
from node.meeting import Meeting
from tests.fakes.asked_hosts import Asked, AskedHost, asked_by
from tests.fakes.deadline import until
from wire.contacts import Contact


@asynccontextmanager
async def meeting(made: Asked) -> AsyncIterator[Meeting]:
    met = Meeting(made.roads, made.pool)
    running = asyncio.create_task(met.run())
    try:
        yield met
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_those_that_are_known_are_met_and_their_links_kept() -> None:
    hosts = [AskedHost(number) for number in (1, 2)]
    async with asked_by(9, *hosts) as made, meeting(made) as met:
        await until(lambda: len(made.pool.links) == 2)
        await until(lambda: all(map(met.is_busy, made.pool.links.values())))
        link = made.pool.links[hosts[0].peer_id]
        met.on_closed(link)
        assert not met.is_busy(link)
        assert made.roads.news.is_set()


async def test_no_more_are_met_than_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENOUGH", 2)
    async with asked_by(9, *(AskedHost(number) for number in range(1, 5))) as made, meeting(made):
        await until(lambda: len(made.pool.links) == 2)
        await asyncio.sleep(0.05)
        assert len(made.pool.links) == 2


async def test_who_is_alone_says_why_once_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(entries, "FIRST_NEAR_WAIT_S", 0.02)
    host = AskedHost(1)
    address = await host.listen()
    await host.close()
    async with asked_by(9, besides=[Contact(peer=host.peer_id, address=address)]) as made, meeting(made):
        await until(lambda: "refuses the connection" in caplog.text)
        again = AskedHost(1)
        await again.pool.listen(address)
        await until(lambda: "peers can be reached again" in caplog.text)
        await again.close()
    assert caplog.text.count("make sure the other side runs") == 2  # of the contact, and of all of them


async def test_who_knows_nobody_may_be_the_first_and_does_not_complain(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.005)
    async with asked_by(9) as made, meeting(made):
        await asyncio.sleep(0.05)
        assert caplog.text == ""
