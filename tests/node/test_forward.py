"""A host serves many sessions, keeps them apart, and gives back what they held, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import torch

from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.slice import Slice
from node.transport.link import Link
from tests.fakes.serving import (
    ALICE,
    BOB,
    ME,
    MODEL,
    NEXT,
    VOCABULARY,
    WIDTH,
    FakeLink,
    Table,
    opening,
    passing,
    step,
)
from wire import limits
from wire.codes import Code
from wire.messages.forward import Credit, Forward, Output, Tokens
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncate, Truncated
from wire.tensors import DType
from wire.types import LayerRange, ModelId


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    made = Table()
    yield made
    await made.host.finish(0.0)


async def test_says_what_it_serves(table: Table) -> None:
    table.say(table.alice, Describe())
    (hosting,) = table.alice.of(Hosting)
    assert [(offer.layers, offer.head) for offer in hosting.offers] == [
        (LayerRange(0, 2), False),
        (LayerRange(2, 4), True),
    ]
    assert not hosting.draining


async def test_the_tail_answers_each_step_with_a_token(table: Table) -> None:
    opened = await table.open_tail()
    for number in range(3):
        table.say(table.alice, step(opened.session, number, number, float(number)))
    await table.until(lambda: len(table.alice.of(Tokens)) == 3)
    assert [message.ids for message in table.alice.of(Tokens)] == [
        ((number + 2) * WIDTH,) for number in range(3)
    ]


async def test_a_middle_hop_pushes_to_the_next_and_grants_credit_to_its_upstream(table: Table) -> None:
    opened = passing(1)
    table.say(table.alice, opened)
    await table.until(lambda: bool(table.alice.of(Ready)))
    for number in range(limits.SESSION_WINDOW_STEPS):
        table.say(table.alice, step(opened.session, number, number))
    await table.until(lambda: len(table.next.of(Forward)) == limits.SESSION_WINDOW_STEPS)
    assert {message.session for message in table.next.of(Forward)} == {opened.next_session}
    assert [message.step for message in table.alice.of(Credit)] == [3, 7]
    assert table.alice.of(Tokens) == []


async def test_one_peer_can_be_two_hops_of_a_route(table: Table) -> None:
    tail = opening(2, upstream=ME)
    front = passing(1, client=ALICE)
    front = Open(
        **{name: getattr(front, name) for name in front.declaration.fields}
        | {"next_peer": ME, "next_session": tail.session}
    )
    table.say(table.alice, tail)
    table.say(table.alice, front)
    await table.until(lambda: len(table.alice.of(Ready)) == 2)
    for number in range(limits.SESSION_WINDOW_STEPS * 2):
        table.say(table.alice, step(front.session, number, number, 1.0))
        # A default binds the loop's value.
        await table.until(lambda number=number: len(table.alice.of(Tokens)) == number + 1)  # type: ignore[misc]
    assert {message.ids for message in table.alice.of(Tokens)} == {((1 + 4) * WIDTH,)}


async def test_sessions_of_different_clients_do_not_touch(table: Table) -> None:
    alices = await table.open_tail(table.alice, 1)
    bobs = await table.open_tail(table.bob, 2)
    table.say(table.alice, step(alices.session, 0, 0, 1.0))
    table.say(table.bob, step(bobs.session, 0, 0, 2.0))
    table.say(table.bob, step(alices.session, 1, 1, 3.0))
    table.say(table.bob, Close(session=alices.session))
    await table.until(lambda: bool(table.alice.of(Tokens) and table.bob.of(Tokens)))
    table.say(table.alice, step(alices.session, 1, 1, 4.0))
    await table.until(lambda: len(table.alice.of(Tokens)) == 2)
    assert [one.ids[0] for one in table.alice.of(Tokens)] == [3 * WIDTH, 6 * WIDTH % VOCABULARY]
    assert [one.code for one in table.bob.of(Abort)] == [Code.UNKNOWN_SESSION]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": ModelId(b"x" * 32)}, Code.NOT_HOSTING),
        ({"layers": LayerRange(1, 4)}, Code.NOT_HOSTING),
        ({"dtype": DType.BFLOAT16}, Code.NUMERICS),
        ({"positions": 101}, Code.CONTEXT_TOO_LONG),
        ({"positions": 0}, Code.BAD_MESSAGE),
        ({"sampling": None}, Code.BAD_MESSAGE),
        ({"layers": LayerRange(0, 2)}, Code.NOT_HOSTING),
    ],
)
async def test_refuses_with_a_reason(table: Table, changes: dict[str, Any], code: Code) -> None:
    await table.open_tail(**changes)
    assert [one.code for one in table.alice.of(Refused)] == [code]
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_refuses_a_session_its_memory_cannot_hold_and_says_when_to_ask_again() -> None:
    table = Table(kv_bytes=600)
    await table.open_tail(number=1)
    await table.open_tail(table.bob, 2)
    (refused,) = table.bob.of(Refused)
    assert refused.code == Code.NO_MEMORY and refused.retry_after_ms > 0
    assert table.budget.used == 500
    table.say(table.alice, Close(session=opening(1).session))
    await table.until(lambda: table.budget.used == 0)
    table.say(table.bob, opening(3, client=BOB))
    await table.until(lambda: bool(table.bob.of(Ready)))
    await table.host.finish(0.0)


async def test_refuses_more_sessions_than_it_may_hold() -> None:
    table = Table(max_sessions=2, sessions=1)
    await table.open_tail(number=1)
    table.say(table.alice, opening(2))
    table.say(table.bob, opening(3, client=BOB))
    await table.until(lambda: bool(table.bob.of(Ready)))
    carol = table.link(NEXT)
    table.say(carol, opening(4, client=NEXT))
    assert [one.code for one in table.alice.of(Refused)] == [Code.TOO_MANY_SESSIONS]
    assert [one.code for one in carol.of(Refused)] == [Code.TOO_MANY_SESSIONS]
    await table.host.finish(0.0)


async def test_all_who_are_refused_at_once_are_told_different_times() -> None:
    table = Table(max_sessions=2)
    await table.open_tail(number=1)
    await table.open_tail(number=2)
    for number in range(3, 43):
        table.say(table.bob, opening(number, client=BOB))
    hints = [one.retry_after_ms for one in table.bob.of(Refused)]
    assert len(hints) == 40 and hints == sorted(hints)
    assert len(set(hints)) > 3 and min(hints) >= 250
    assert table.host.tally.refused["too_many_sessions"] == 40
    await table.host.finish(0.0)


async def test_a_peer_that_has_used_its_tokens_of_an_hour_is_ended_and_let_in_later() -> None:
    table = Table(tokens_per_hour=20)
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0, count=15))
    table.say(table.alice, step(opened.session, 1, 15, count=15))
    await table.until(lambda: bool(table.alice.of(Abort)))
    assert len(table.alice.of(Tokens)) == 2, "what was computed is told"
    assert table.alice.of(Abort)[0].code == Code.TOO_MANY_SESSIONS
    assert "20 tokens an hour" in table.alice.of(Abort)[0].detail
    table.say(table.alice, opening(2))
    (refused,) = table.alice.of(Refused)
    assert refused.code == Code.TOO_MANY_SESSIONS and refused.retry_after_ms > 60_000
    await table.open_tail(table.bob, 3)
    assert table.bob.of(Ready), "others have their own"
    await table.host.finish(0.0)


async def test_whoever_owns_the_machine_has_no_bound_of_tokens() -> None:
    table = Table(tokens_per_hour=20)
    mine = table.link(ME)
    opened = await table.open_tail(mine)
    table.say(mine, step(opened.session, 0, 0, count=45))
    await table.until(lambda: bool(mine.of(Tokens)))
    table.say(mine, opening(2, client=ME))
    await table.until(lambda: len(mine.of(Ready)) == 2)
    assert not mine.of(Abort)
    await table.host.finish(0.0)


async def test_how_long_each_step_was_here_is_counted(table: Table) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: bool(table.alice.of(Tokens)))
    await table.until(lambda: table.host.tally.hop.count == 1)
    assert 0 < table.host.tally.hop.sum < 5


async def test_refuses_a_session_id_that_is_in_use(table: Table) -> None:
    await table.open_tail(number=1)
    table.say(table.bob, opening(1, client=BOB))
    assert [one.code for one in table.bob.of(Refused)] == [Code.DUPLICATE_SESSION]
    assert table.host.sessions == 1


async def test_refuses_when_the_next_hop_cannot_be_reached(table: Table) -> None:
    table.peers.unreachable = NodeError("nobody answers there", "try later")
    table.say(table.alice, passing(1))
    await table.until(lambda: bool(table.alice.of(Refused)))
    assert table.alice.of(Refused)[0].code == Code.NEXT_UNREACHABLE
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_a_client_that_vanishes_frees_its_sessions_and_no_others(table: Table) -> None:
    await table.open_tail(table.alice, 1)
    await table.open_tail(table.bob, 2)
    table.host.on_closed(cast(Link, table.alice), Code.CONNECTION_LOST, "reset")
    await table.until(lambda: table.host.sessions == 1 and table.budget.used == 500)
    table.say(table.bob, step(opening(2).session, 0, 0))
    await table.until(lambda: bool(table.bob.of(Tokens)))


async def test_a_lost_next_hop_ends_the_session_with_a_reason(table: Table) -> None:
    table.say(table.alice, passing(1))
    await table.until(lambda: bool(table.alice.of(Ready)))
    table.host.on_closed(cast(Link, table.next), Code.TIMEOUT, "silent")
    assert [one.code for one in table.alice.of(Abort)] == [Code.HOP_LOST]
    await table.until(lambda: table.budget.used == 0)


async def test_an_abort_of_the_next_hop_ends_the_session(table: Table) -> None:
    opened = passing(1)
    table.say(table.alice, opened)
    await table.until(lambda: bool(table.alice.of(Ready)))
    assert opened.next_session is not None
    table.say(table.bob, Abort(session=opened.next_session, code=Code.UNKNOWN_SESSION, detail=""))
    assert table.host.sessions == 1
    table.say(table.next, Abort(session=opened.next_session, code=Code.UNKNOWN_SESSION, detail=""))
    assert [one.code for one in table.alice.of(Abort)] == [Code.HOP_LOST]
    await table.until(lambda: table.host.sessions == 0)


@pytest.mark.parametrize("failure", [SliceError, RuntimeError, MemoryError, ZeroDivisionError])
async def test_a_step_that_cannot_be_computed_ends_its_session_only(
    table: Table, failure: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    opened = await table.open_tail(table.alice, 1)
    bobs = await table.open_tail(table.bob, 2)
    table.tail.broken = failure
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: bool(table.alice.of(Abort)))
    assert table.alice.of(Abort)[0].code == Code.COMPUTE_FAILED
    table.tail.broken = None
    table.say(table.bob, step(bobs.session, 0, 0))
    await table.until(lambda: bool(table.bob.of(Tokens)))
    assert table.host.sessions == 1 and table.budget.used == 500


async def test_hidden_states_that_are_not_finite_end_the_session(table: Table) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0, float("nan")))
    await table.until(lambda: bool(table.alice.of(Abort)))
    assert table.alice.of(Abort)[0].code == Code.NOT_FINITE


async def test_a_cut_drops_steps_that_wait_and_is_confirmed(table: Table) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: len(table.alice.of(Tokens)) == 1)
    table.compute.gate.clear()
    for number in range(1, 4):
        table.say(table.alice, step(opened.session, number, number))
    table.say(table.alice, Truncate(session=opened.session, epoch=1, position=1, next_step=4))
    table.compute.gate.set()
    await table.until(lambda: bool(table.alice.of(Truncated)))
    assert table.alice.of(Truncated)[0].position == 1
    assert len(table.alice.of(Tokens)) == 1


async def test_finish_lets_an_answer_end_and_refuses_new_sessions(table: Table) -> None:
    opened = await table.open_tail()
    table.compute.gate.clear()
    table.say(table.alice, step(opened.session, 0, 0))
    finishing = asyncio.create_task(table.host.finish(5.0))
    await asyncio.sleep(0)
    table.say(table.bob, opening(9, client=BOB))
    assert [one.code for one in table.bob.of(Refused)] == [Code.DRAINING]
    table.compute.gate.set()
    assert await finishing == 0
    assert table.alice.of(Tokens) and [one.code for one in table.alice.of(Abort)] == [Code.SHUTTING_DOWN]
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_finish_says_how_many_answers_it_cut_off(table: Table) -> None:
    opened = await table.open_tail()
    table.compute.gate.clear()
    table.say(table.alice, step(opened.session, 0, 0))
    assert await table.host.finish(0.0) == 1
    table.compute.gate.set()
    assert table.alice.of(Tokens) == []


async def test_idle_sessions_end_and_links_in_use_are_known() -> None:
    now = 0.0
    table = Table()
    table.host = SessionHost(
        me=ME, compute=cast(ComputeThread, table.compute), budget=table.budget, clock=lambda: now
    )
    table.host.connect(cast(Any, table.peers))
    table.host.slices = (
        HostedSlice(model=MODEL, name="m", dtype=DType.FLOAT32, slice=cast(Slice, table.tail)),
    )
    await table.open_tail()
    assert table.host.is_busy(cast(Link, table.alice)) and not table.host.is_busy(cast(Link, table.bob))
    now = limits.SESSION_IDLE_TIMEOUT_S
    table.host.on_time()
    assert [one.code for one in table.alice.of(Abort)] == [Code.SESSION_IDLE]
    await table.until(lambda: table.budget.used == 0)
    assert not table.host.is_busy(cast(Link, table.alice))


async def test_private_ends_get_hidden_states_and_no_token(table: Table) -> None:
    opened = await table.open_tail(delivery=Delivery.HIDDEN, sampling=None)
    table.say(table.alice, step(opened.session, 0, 0, 1.0, count=3))
    await table.until(lambda: bool(table.alice.of(Output)))
    (output,) = table.alice.of(Output)
    assert output.position == 2
    assert bytes(output.body) == torch.full((WIDTH,), 3.0).numpy().tobytes()
    assert table.alice.of(Tokens) == []


async def test_a_session_belongs_to_the_link_that_opened_it_and_not_to_all_of_its_owner(table: Table) -> None:
    other = FakeLink(ALICE)
    first = await table.open_tail(table.alice, 1)
    second = await table.open_tail(other, 2)
    for link, opened in ((table.alice, first), (other, second)):
        table.say(link, step(opened.session, 0, 0))
        # A default binds the loop's value.
        await table.until(lambda link=link: bool(link.of(Tokens)))  # type: ignore[misc]
        assert [one.session for one in link.of(Tokens)] == [opened.session]
    table.host.on_closed(cast(Link, other), Code.CONNECTION_LOST, "reset")
    await table.until(lambda: table.host.sessions == 1 and table.budget.used == 500)
    table.say(table.alice, step(first.session, 1, 1))
    await table.until(lambda: len(table.alice.of(Tokens)) == 2)


async def test_a_session_id_that_is_free_again_can_be_used_while_the_old_session_ends(table: Table) -> None:
    opened = await table.open_tail(table.alice, 1)
    table.compute.gate.clear()
    table.say(table.alice, step(opened.session, 0, 0))
    await asyncio.sleep(0)
    table.say(table.alice, Close(session=opened.session))
    table.alice.sent.clear()
    table.say(table.alice, opened)
    table.compute.gate.set()
    await table.until(lambda: bool(table.alice.of(Ready)))
    assert (table.host.sessions, table.budget.used) == (1, 500)
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: bool(table.alice.of(Tokens)))
