"""An answer's loop: exact tokens, only what is new is sent, cancel and failure leave a state the next turn can use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.chain import Chain
from chat.errors import ChainBroken
from chat.events import Event, Finished, FinishReason, Planned, Prefilling, TextDelta
from chat.front import Front
from chat.prefill import PIPELINED_TOKENS as PREFILL_CHUNK
from chat.session import AnswerOptions, AnswerSession
from node.slices.compute import ComputeThread
from tests.fakes.swarm import FakeSwarm, draw, expected, hidden
from wire.codes import Code
from wire.messages.forward import Forward, Output
from wire.messages.session import Truncate
from wire.tensors import TensorSpec
from wire.types import Sampling

P = ParamSpec("P")
R = TypeVar("R")
NEVER = 1_000


class InlineCompute:
    """Runs functions at once; stands for the compute thread."""

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Give the loop a turn, as a thread would, and run."""
        await asyncio.sleep(0)
        return fn(*args, **kwargs)


class FakeFront:
    """No layers: hidden states are the tokens. With private ends it draws from what the hosts returned."""

    def __init__(self) -> None:
        self.length = 0
        self.computed = 0
        self.outputs: list[int] = []

    def forward(self, ids: tuple[int, ...], position: int) -> tuple[TensorSpec, bytes]:
        assert position == self.length
        self.length += len(ids)
        self.computed += len(ids)
        return hidden(*ids)

    def truncate(self, position: int) -> None:
        self.length = min(self.length, position)

    def finish(self, output: Output, sampling: Sampling) -> int:
        self.outputs.append(output.position)
        return output.body[0]


class Words:
    """Text of a token: its number and a blank."""

    def feed(self, token: int) -> str:
        return f"{token} "

    def finish(self) -> str:
        return ""


class Table:
    """A swarm, a front and a session over them."""

    def __init__(self, hops: int = 3, *, private_ends: bool = False) -> None:
        self.swarm = FakeSwarm(hops)
        self.front = FakeFront()
        self.opened = 0
        self.private_ends = private_ends
        self.session = AnswerSession(
            front=cast(Front, self.front), compute=cast(ComputeThread, InlineCompute()), open_chain=self.open
        )

    async def open(self) -> Chain:
        self.opened += 1
        chain = self.swarm.chain(private_ends=self.private_ends)
        await chain.open()
        return chain

    async def ask(
        self, ids: list[int], *, tokens: int = 5, stop: int = NEVER, positions: int = 512
    ) -> list[Event]:
        options = AnswerOptions(
            stop_ids=frozenset({stop}), max_tokens=tokens, positions=positions, sampling=Sampling()
        )
        return [event async for event in self.session.answer(ids, Words(), options)]

    def sent_tokens(self) -> int:
        return sum(message.count for _, message in self.swarm.sent if isinstance(message, Forward))


async def test_the_answer_is_the_one_the_whole_model_gives() -> None:
    table = Table()
    events = await table.ask([3, 1, 4, 1, 5])
    assert table.session.answered == expected([3, 1, 4, 1, 5], hops=3, count=5)
    assert isinstance(events[0], Planned)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is FinishReason.LENGTH
    assert events[-1].text == "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_long_prompt_goes_in_chunks_and_shows_its_progress() -> None:
    table = Table()
    prompt = [index % 200 for index in range(PREFILL_CHUNK * 2 + 7)]
    events = await table.ask(prompt, tokens=3)
    assert table.session.answered == expected(prompt, hops=3, count=3)
    assert [event.done_tokens for event in events if isinstance(event, Prefilling)] == [
        PREFILL_CHUNK,
        PREFILL_CHUNK * 2,
        len(prompt),
    ]


async def test_a_stop_token_ends_the_answer_and_is_not_part_of_it() -> None:
    want = expected([9, 9], hops=3, count=5)
    events = await (table := Table()).ask([9, 9], stop=want[2])
    assert table.session.answered == want[:2]
    assert isinstance(events[-1], Finished) and events[-1].reason is FinishReason.STOP


async def test_the_answer_ends_where_the_positions_end() -> None:
    table = Table()
    events = await table.ask([1, 2, 3], tokens=100, positions=6)
    assert isinstance(events[-1], Finished) and events[-1].reason is FinishReason.LENGTH
    assert len(table.session.answered) == 4
    assert len(table.session.held) == 6


async def test_turn_two_sends_and_computes_only_what_is_new() -> None:
    table = Table()
    await table.ask([1, 2, 3, 4], tokens=3)
    first_turn = table.sent_tokens()
    assert first_turn == 4 + 2
    longer = [1, 2, 3, 4, *table.session.answered, 50, 51]
    answer_one = list(table.session.answered)
    events = await table.ask(longer, tokens=2)
    assert table.session.answered == expected(longer, hops=3, count=2)
    # The last token of answer one was drawn but never fed, so it goes with the two new ones; then one decode step.
    assert table.sent_tokens() - first_turn == 3 + 1
    assert table.front.computed == table.sent_tokens()
    assert [sum(f.count for f in host.computed) for host in table.swarm.hosts] == [table.sent_tokens()] * 3
    assert table.opened == 1
    progress = next(event for event in events if isinstance(event, Prefilling))
    assert (progress.reused_tokens, progress.total_tokens) == (4 + len(answer_one) - 1, 3)


async def test_a_turn_that_departs_from_what_is_held_cuts_back_first() -> None:
    table = Table()
    await table.ask([1, 2, 3, 4], tokens=3)
    await table.ask([1, 2, 9, 9], tokens=3)
    assert table.session.answered == expected([1, 2, 9, 9], hops=3, count=3)
    assert {message.position for _, message in table.swarm.sent if isinstance(message, Truncate)} == {2}


async def test_the_same_prompt_again_sends_one_token() -> None:
    table = Table()
    await table.ask([1, 2, 3, 4], tokens=3)
    before = table.sent_tokens()
    await table.ask([1, 2, 3, 4], tokens=1)
    assert table.session.answered == expected([1, 2, 3, 4], hops=3, count=1)
    assert table.sent_tokens() - before == 1


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
async def test_closing_the_iterator_in_mid_answer_leaves_every_hop_at_the_same_position(after: int) -> None:
    table = Table()
    options = AnswerOptions(stop_ids=frozenset(), max_tokens=9, positions=512, sampling=Sampling())
    events = table.session.answer([1, 2, 3], Words(), options)
    for _ in range(after):
        await anext(events)
    await events.aclose()
    said = list(table.session.answered)
    assert {tuple(host.held) for host in table.swarm.hosts} and len(
        {len(h.held) for h in table.swarm.hosts}
    ) == 1
    follow_up = [1, 2, 3, *said, 77]
    await table.ask(follow_up, tokens=4)
    assert table.session.answered == expected(follow_up, hops=3, count=4)


@given(st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_task_cancelled_at_any_moment_leaves_an_exact_conversation(turns_of_the_loop: int) -> None:
    async def scenario() -> None:
        table = Table()
        prompt = [index % 100 for index in range(PREFILL_CHUNK + 20)]
        asking = asyncio.create_task(table.ask(prompt, tokens=6))
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        follow_up = [*prompt, *table.session.answered, 7]
        await table.ask(follow_up, tokens=3)
        assert table.session.answered == expected(follow_up, hops=3, count=3)
        assert [len(host.held) for host in table.swarm.hosts] == [len(table.session.held)] * 3

    asyncio.run(scenario())


async def test_cancel_in_mid_prefill_stops_the_steps_that_wait_at_a_hop() -> None:
    table = Table()
    table.swarm.hosts[1].paused = True
    asking = asyncio.create_task(table.ask([index % 100 for index in range(PREFILL_CHUNK * 3)]))
    for _ in range(60):
        await asyncio.sleep(0)
    asking.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    table.swarm.hosts[1].resume()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert table.swarm.hosts[1].computed == []
    assert table.swarm.hosts[2].computed == []
    assert [host.held for host in table.swarm.hosts] == [[], [], []]


async def test_a_broken_chain_is_replaced_by_a_new_one_on_the_next_question() -> None:
    table = Table()
    table.swarm.hosts[1].fail_at = 5
    with pytest.raises(ChainBroken) as caught:
        await table.ask([1, 2, 3], tokens=8)
    assert caught.value.code is Code.COMPUTE_FAILED
    kept = list(table.session.answered)
    assert kept == expected([1, 2, 3], hops=3, count=len(kept))
    table.swarm.hosts[1].fail_at = None
    follow_up = [1, 2, 3, *kept, 6]
    await table.ask(follow_up, tokens=3)
    assert table.opened == 2
    assert table.session.answered == expected(follow_up, hops=3, count=3)


async def test_with_private_ends_the_client_draws_each_token_itself() -> None:
    table = Table(hops=2, private_ends=True)
    await table.ask([1, 2, 3], tokens=3)
    # The fake head returns what the last hop made of the last token: two hops add one each.
    assert table.session.answered == [5, 7, 9]
    assert table.front.outputs == [2, 3, 4]


async def test_close_ends_every_session_and_forgets_what_was_held() -> None:
    table = Table()
    await table.ask([1, 2], tokens=2)
    await table.session.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert all(host.ended for host in table.swarm.hosts)
    assert table.session.held == []
    await table.ask([1, 2], tokens=2)
    assert table.opened == 2


async def test_figures_count_what_happened() -> None:
    events = await Table().ask([1, 2, 3], tokens=4)
    finished = events[-1]
    assert isinstance(finished, Finished)
    stats = finished.stats
    assert (stats.prompt_tokens, stats.reused_tokens, stats.answer_tokens) == (3, 0, 4)
    assert [hop.peer is None for hop in stats.hops] == [True, False, False, False]
    assert all(hop.compute_ms == 0.002 and hop.queue_ms == 0.001 for hop in stats.hops[1:])
    assert stats.first_token_s > 0 and stats.decode_tokens_per_s > 0


def test_the_fake_model_notices_a_dropped_a_doubled_and_a_swapped_token() -> None:
    assert len({draw([1, 2, 3]), draw([1, 3]), draw([1, 2, 2, 3]), draw([2, 1, 3])}) == 4


@given(st.integers(0, 60), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_a_second_cancel_while_the_hops_are_being_cut_back_is_recovered_from(first: int, second: int) -> None:
    async def scenario() -> None:
        table = Table()
        prompt = [index % 100 for index in range(PREFILL_CHUNK + 20)]
        asking = asyncio.create_task(table.ask(prompt, tokens=6))
        for turns in (first, second):
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        follow_up = [*prompt, *table.session.answered, 7]
        await table.ask(follow_up, tokens=3)
        assert table.session.answered == expected(follow_up, hops=3, count=3)
        assert [len(host.held) for host in table.swarm.hosts] == [len(table.session.held)] * 3

    asyncio.run(scenario())
