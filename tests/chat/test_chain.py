"""A chain opens on all hops or on none, keeps answers in order, and ends everywhere when one hop ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chat.chain import Chain
from chat.errors import ChainBroken, Refused
from tests.fakes.swarm import FakeSwarm, expected, hidden
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Forward, Output, Phase, Tokens
from wire.messages.session import Close, Delivery, Open, Truncate


async def step(chain: Chain, position: int, *tokens: int) -> Tokens | Output:
    """Send tokens as one sampled step and return the answer."""
    spec, body = hidden(*tokens)
    await chain.send(spec, body, position=position, phase=Phase.PREFILL, sample=True)
    return await chain.answer()


async def test_tells_each_hop_of_its_neighbours_only() -> None:
    swarm = FakeSwarm(3)
    chain = swarm.chain()
    await chain.open()
    first, second, third = [message for _, message in swarm.sent if isinstance(message, Open)]
    assert [one.delivery for one in (first, second, third)] == [Delivery.NEXT, Delivery.NEXT, Delivery.TOKENS]
    assert first.next_peer == swarm.hosts[1].peer_id and first.next_session == second.session
    assert second.upstream == swarm.hosts[0].peer_id and second.next_session == third.session
    assert third.next_peer is None and third.sampling is not None
    assert first.sampling is None and second.sampling is None
    assert len({first.session, second.session, third.session}) == 3


async def test_a_step_passes_every_hop_and_the_tail_answers() -> None:
    swarm = FakeSwarm(3)
    chain = swarm.chain()
    await chain.open()
    answer = await step(chain, 0, 5, 6, 7)
    assert isinstance(answer, Tokens)
    assert list(answer.ids) == expected([5, 6, 7], hops=3, count=1)
    assert len(answer.trace) == 3
    assert [len(host.computed) for host in swarm.hosts] == [1, 1, 1]


async def test_with_private_ends_the_last_hop_returns_hidden_states() -> None:
    swarm = FakeSwarm(2)
    chain = swarm.chain(private_ends=True)
    await chain.open()
    answer = await step(chain, 0, 5, 6)
    assert isinstance(answer, Output)
    assert answer.position == 1
    assert bytes(answer.body) == bytes([8, 0, 0, 0])


async def test_steps_are_sent_without_waiting_for_answers_up_to_the_window() -> None:
    swarm = FakeSwarm(2)
    chain = swarm.chain()
    await chain.open()
    swarm.hosts[1].paused = True
    spec, body = hidden(1)

    async def send_many() -> None:
        for position in range(limits.SESSION_WINDOW_STEPS * 3):
            await chain.send(spec, body, position=position, phase=Phase.PREFILL, sample=False)

    sending = asyncio.create_task(send_many())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not sending.done()
    sent = [message for _, message in swarm.sent if isinstance(message, Forward)]
    # The first hop's window, and what it may pass on to a hop that consumes nothing.
    assert limits.SESSION_WINDOW_STEPS <= len(sent) <= limits.SESSION_WINDOW_STEPS * 2
    swarm.hosts[1].resume()
    await sending
    answers = [await chain.answer() for _ in range(limits.SESSION_WINDOW_STEPS * 3)]
    assert [answer.step for answer in answers] == list(range(limits.SESSION_WINDOW_STEPS * 3))


async def test_a_refusal_closes_the_session_on_every_other_hop() -> None:
    swarm = FakeSwarm(3)
    swarm.hosts[1].refuse = Code.NO_MEMORY
    chain = swarm.chain()
    with pytest.raises(Refused, match=r"layers 1:2.*not today \[no_memory\].*again in 2 s") as caught:
        await chain.open()
    assert caught.value.code is Code.NO_MEMORY
    for _ in range(5):
        await asyncio.sleep(0)
    closed = {peer for peer, message in swarm.sent if isinstance(message, Close)}
    assert {swarm.hosts[0].peer_id, swarm.hosts[2].peer_id} <= closed
    assert not chain.alive


async def test_a_hop_that_fails_in_mid_answer_breaks_the_chain_with_its_code() -> None:
    swarm = FakeSwarm(3)
    swarm.hosts[2].fail_at = 4
    chain = swarm.chain()
    await chain.open()
    await step(chain, 0, 1, 2, 3)
    with pytest.raises(ChainBroken, match="layers 2:3") as caught:
        await step(chain, 3, 4, 5)
    assert caught.value.code is Code.COMPUTE_FAILED
    assert not chain.alive
    for _ in range(5):
        await asyncio.sleep(0)
    assert all(host.ended for host in swarm.hosts)


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_lost_link_breaks_the_chain_whichever_it_is(lost: int) -> None:
    swarm = FakeSwarm(3)
    chain = swarm.chain()
    await chain.open()
    swarm.hosts[2].paused = True
    spec, body = hidden(1, 2)
    await chain.send(spec, body, position=0, phase=Phase.PREFILL, sample=True)
    waiting = asyncio.create_task(chain.answer())
    await asyncio.sleep(0)
    swarm.lose(swarm.hosts[lost])
    with pytest.raises(ChainBroken) as caught:
        await waiting
    assert caught.value.code is Code.CONNECTION_LOST


async def test_a_cut_drops_steps_under_way_and_the_rest_is_as_if_they_never_were() -> None:
    swarm = FakeSwarm(3)
    chain = swarm.chain()
    await chain.open()
    await step(chain, 0, 10, 20)
    swarm.hosts[1].paused = True
    spec, body = hidden(99, 98)
    await chain.send(spec, body, position=2, phase=Phase.PREFILL, sample=True)
    for _ in range(10):
        await asyncio.sleep(0)
    cutting = asyncio.create_task(chain.truncate(2))
    for _ in range(10):
        await asyncio.sleep(0)
    swarm.hosts[1].resume()
    await cutting
    answer = await step(chain, 2, 30)
    assert isinstance(answer, Tokens)
    assert list(answer.ids) == expected([10, 20, 30], hops=3, count=1)
    assert [host.held for host in swarm.hosts] == [[11, 21, 31], [12, 22, 32], [13, 23, 33]]
    assert {message.epoch for _, message in swarm.sent if isinstance(message, Truncate)} == {1}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda tokens: replace(tokens, position=tokens.position + 1),
        lambda tokens: replace(tokens, ids=(1, 2)),
        lambda tokens: replace(tokens, ids=()),
        lambda tokens: replace(tokens, step=tokens.step + 1),
        lambda tokens: replace(tokens, epoch=tokens.epoch + 1),
    ],
    ids=["position", "two tokens", "no token", "step", "epoch"],
)
async def test_a_host_that_answers_wrongly_breaks_the_chain(wrong: object) -> None:
    swarm = FakeSwarm(2)
    chain = swarm.chain()
    await chain.open()

    def tamper(message: Message) -> Message | None:
        return wrong(message) if isinstance(message, Tokens) and callable(wrong) else message

    swarm.tamper = tamper
    with pytest.raises(ChainBroken) as caught:
        await step(chain, 0, 1, 2)
    assert caught.value.code is Code.PROTOCOL


async def test_a_doubled_answer_is_taken_once() -> None:
    swarm = FakeSwarm(2)
    chain = swarm.chain()
    await chain.open()
    seen: list[Tokens] = []

    def double(message: Message) -> Message | None:
        if isinstance(message, Tokens):
            seen.append(message)
            for host in swarm.hosts[1:]:
                asyncio.get_running_loop().call_soon(chain.on_message, host.peer_id, message)
        return message

    swarm.tamper = double
    first = await step(chain, 0, 1)
    second = await step(chain, 1, 2)
    assert (first.step, second.step) == (0, 1)
    assert len(seen) == 2


async def test_messages_of_another_peer_or_chain_are_not_its_own() -> None:
    swarm = FakeSwarm(2)
    chain = swarm.chain()
    await chain.open()
    stranger = Tokens(session=chain.sessions[0], epoch=0, step=0, position=1, ids=(1,), trace=())
    assert (
        chain.on_message(swarm.hosts[1].peer_id, replace(stranger, session=swarm.chain().sessions[0]))
        is False
    )
    assert chain.on_message(swarm.hosts[1].peer_id, stranger) is True
    assert chain.alive


async def test_a_silent_host_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STEP_TIMEOUT_S", 0.05)
    swarm = FakeSwarm(2)
    chain = swarm.chain()
    await chain.open()
    swarm.hosts[1].paused = True
    with pytest.raises(ChainBroken) as caught:
        await step(chain, 0, 1)
    assert caught.value.code is Code.TIMEOUT


async def test_a_host_that_never_opens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OPEN_TIMEOUT_S", 0.05)
    swarm = FakeSwarm(2)
    swarm.tamper = lambda message: None
    with pytest.raises(ChainBroken, match=swarm.hosts[1].peer_id.short):
        await swarm.chain().open()
