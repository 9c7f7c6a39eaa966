"""A question is answered, or ends with the reason why it is not."""

from __future__ import annotations

import asyncio

import pytest

from node import asking as module
from node.asking import NoAnswer
from node.transport.errors import DialError, WrongPeer
from tests.fakes.asked_hosts import AskedHost, asked_by
from tests.fakes.deadline import until
from wire.contacts import Contact
from wire.messages.hosting import Hosting
from wire.types import Address


async def test_questions_at_once_are_all_answered_by_one_link() -> None:
    host = AskedHost(1, shares=5)
    async with asked_by(9, host) as made:
        (one,) = made.roads.somebody()
        said = await asyncio.gather(*(made.asking.ask(one) for _ in range(5)))
        assert {(each.peer, each.hosting.shares) for each in said} == {(host.peer_id, 5)}
        assert len(made.pool.links) == 1


async def test_a_host_that_hangs_up_is_named_with_its_reason() -> None:
    host = AskedHost(1)
    host.hangs_up = True
    async with asked_by(9, host) as made:
        with pytest.raises(NoAnswer, match="not today"):
            await made.asking.ask(made.roads.somebody()[0])


async def test_silence_ends_and_a_later_answer_serves_a_later_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    host = AskedHost(1, shares=5)
    host.is_silent = True
    async with asked_by(9, host) as made:
        (one,) = made.roads.somebody()
        with pytest.raises(NoAnswer, match="gave no answer"):
            await made.asking.ask(one)
        host.is_silent = False
        assert (await made.asking.ask(one)).hosting.shares == 5


async def test_a_question_can_be_given_up() -> None:
    host = AskedHost(1)
    host.is_silent = True
    async with asked_by(9, host) as made:
        task = asyncio.create_task(made.asking.ask(made.roads.somebody()[0]))
        await until(lambda: host.asked == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_answer_that_nobody_asked_for_is_no_harm() -> None:
    host = AskedHost(1, shares=1)
    async with asked_by(9, host) as made:
        (one,) = made.roads.somebody()
        await made.asking.ask(one)
        (link,) = host.pool.links.values()
        for _ in range(3):
            link.send(Hosting(offers=(), draining=False, shares=5))
        assert (await made.asking.ask(one)).hosting.shares in (1, 5)


async def test_who_is_not_there_or_is_someone_else_is_told() -> None:
    host, other = AskedHost(1), AskedHost(2)
    address = await other.listen()
    wrong = [Contact(peer=AskedHost(3).peer_id, address=address), Contact(address=Address("127.0.0.1", 1))]
    async with asked_by(9, host, besides=wrong) as made:
        nobody, known, someone_else = sorted(
            made.roads.somebody(), key=lambda one: (one.peer is not None, one.peer != host.peer_id)
        )
        assert (await made.asking.ask(known)).peer == host.peer_id
        with pytest.raises(DialError):
            await made.asking.ask(nobody)
        with pytest.raises(WrongPeer):
            await made.asking.ask(someone_else)
        # They failed a moment ago, and are not asked again at once.
        assert made.roads.somebody() == [known]
    await other.close()
