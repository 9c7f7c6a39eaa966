"""Hosts under attack with sessions and steps that cannot be. They still answer an honest client, token for token.

The honest client keeps one session open through all of it, and opens a fresh one after each case; the memory and the
sessions of both hosts must be what they were (`conftest.py`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from crypto.identity import PeerId
from tests.fakes.attacker import Attacker
from tests.fakes.siege import (
    Swarm,
    cut,
    opening,
    passing_on,
    sessions_of,
    step,
)
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Credit, Output, Tokens
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncated
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

Change = Callable[[Open, Swarm], Open]


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("an unknown model", lambda it, _: replace(it, model=ModelId(b"m" * 32)), Code.NOT_HOSTING),
        ("layers before", lambda it, _: replace(it, layers=LayerRange(0, 2)), Code.NOT_HOSTING),
        ("layers beyond", lambda it, _: replace(it, layers=LayerRange(2, 4)), Code.NOT_HOSTING),
        ("no layers", lambda it, _: replace(it, layers=LayerRange(2, 2)), Code.NOT_HOSTING),
        (
            "tokens from a host without the head",
            lambda it, _: replace(it, delivery=Delivery.TOKENS, sampling=Sampling()),
            Code.NOT_HOSTING,
        ),
        ("other numerics", lambda it, _: replace(it, dtype=DType.BFLOAT16), Code.NUMERICS),
        ("a context too long", lambda it, _: replace(it, positions=513), Code.CONTEXT_TOO_LONG),
        ("no positions", lambda it, _: replace(it, positions=0), Code.BAD_MESSAGE),
        ("sampling without tokens", lambda it, _: replace(it, sampling=Sampling()), Code.BAD_MESSAGE),
        ("next without a next hop", lambda it, _: replace(it, delivery=Delivery.NEXT), Code.BAD_MESSAGE),
        (
            "a next hop without next",
            lambda it, swarm: replace(it, next_peer=swarm.tail.peer_id, next_session=SessionId(b"n" * 16)),
            Code.BAD_MESSAGE,
        ),
        (
            "one session as two hops",
            lambda it, swarm: passing_on(it, swarm.tail.peer_id, swarm.tail.address, it.session),
            Code.BAD_MESSAGE,
        ),
        (
            "a next hop where nothing listens",
            lambda it, _: passing_on(it, PeerId(b"p" * 32), Address("127.0.0.77", 9)),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "a next hop that is somebody else",
            lambda it, swarm: passing_on(it, PeerId(b"p" * 32), swarm.tail.address),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "a next hop that is the host itself",
            lambda it, swarm: passing_on(it, PeerId(b"p" * 32), swarm.middle.address),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "the client as next hop, where it does not listen",
            lambda it, _: passing_on(it, it.upstream, Address("127.0.0.1", 9)),
            Code.NEXT_UNREACHABLE,
        ),
    ],
)
async def test_a_session_that_cannot_be_is_refused_by_its_code(
    swarm: Swarm, attacker: Attacker, model_id: ModelId, name: str, change: Change, code: Code
) -> None:
    opened = change(opening(attacker, model_id), swarm)
    await attacker.send(opened)
    refused = await attacker.receive(Refused)
    assert (refused.session, Code(refused.code)) == (opened.session, code), name
    assert refused.detail
    await attacker.send(step(opened.session))
    assert (await attacker.receive(Abort)).code == Code.UNKNOWN_SESSION


async def test_a_session_id_is_used_once(swarm: Swarm, attacker: Attacker, model_id: ModelId) -> None:
    opened = opening(attacker, model_id)
    theirs = replace(opened, session=sessions_of(swarm)[0])
    await attacker.send(opened, opened, theirs)
    assert (await attacker.receive(Ready)).session == opened.session
    refusals = [await attacker.receive(Refused) for _ in range(2)]
    assert {one.session for one in refusals} == {opened.session, theirs.session}
    assert {one.code for one in refusals} == {Code.DUPLICATE_SESSION}


async def test_a_session_id_can_be_used_again_as_soon_as_it_is_free(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    free = (await swarm.offer(swarm.middle)).free_kv_bytes
    opened = opening(attacker, model_id)
    closed = Close(session=opened.session)
    await attacker.send(opened)
    for _ in range(5):
        await attacker.receive(Ready)
        # A step is being computed while the session ends and another takes its name.
        await attacker.send(step(opened.session, count=64), closed, opened)
    await attacker.receive(Ready)
    attacker.heard.clear()
    await attacker.send(step(opened.session))
    assert (await attacker.receive(Output)).step == 0
    held = await swarm.offer(swarm.middle)
    assert (held.sessions, held.free_kv_bytes < free) == (2, True)
    await attacker.send(closed)
    await swarm.until(swarm.middle, lambda now: (now.sessions, now.free_kv_bytes) == (1, free))


async def test_more_memory_than_there_is_is_refused(swarm: Swarm, model_id: ModelId) -> None:
    pair = [await Attacker.linked(swarm.middle.address) for _ in range(2)]
    for peer in pair:
        await peer.send(
            *(opening(peer, model_id, positions=512) for _ in range(limits.MAX_SESSIONS_PER_PEER))
        )
    refused = await pair[1].receive(Refused)
    assert refused.code == Code.NO_MEMORY
    assert refused.retry_after_ms
    assert "bytes of KV memory are needed" in refused.detail
    await swarm.assert_right()
    for peer in pair:
        peer.close()


async def test_one_peer_cannot_take_all_sessions_nor_all_peers_more_than_there_are(
    swarm: Swarm, model_id: ModelId
) -> None:
    crowd = [await Attacker.linked(swarm.middle.address) for _ in range(4)]
    for peer in crowd:
        await peer.send(
            *(opening(peer, model_id, positions=1) for _ in range(limits.MAX_SESSIONS_PER_PEER + 1))
        )
        assert (await peer.receive(Refused)).code == Code.TOO_MANY_SESSIONS
    assert (await swarm.offer(swarm.middle)).sessions == limits.MAX_SESSIONS
    late = await Attacker.linked(swarm.middle.address)
    await late.send(opening(late, model_id, positions=1))
    refused = await late.receive(Refused)
    assert refused.code == Code.TOO_MANY_SESSIONS
    assert refused.retry_after_ms
    await swarm.assert_right()
    for peer in (*crowd, late):
        peer.close()


# Steps that cannot be.


Steps = Callable[[SessionId], list[Message]]


@pytest.mark.parametrize(
    ("name", "steps", "code"),
    [
        ("another shape", lambda it: [replace(step(it), shape=(1, 1, 32))], Code.BAD_TENSOR),
        ("a shape of rank two", lambda it: [replace(step(it), shape=(1, 64))], Code.BAD_TENSOR),
        ("a shape of nothing", lambda it: [replace(step(it), shape=())], Code.BAD_TENSOR),
        ("a count that is not the shape's", lambda it: [replace(step(it), count=2)], Code.BAD_TENSOR),
        ("a count of none", lambda it: [replace(step(it), count=0, shape=(1, 0, 64))], Code.BAD_TENSOR),
        ("another dtype", lambda it: [replace(step(it), dtype=DType.FLOAT16)], Code.BAD_TENSOR),
        ("a short body", lambda it: [replace(step(it), body=b"x" * 255)], Code.BAD_TENSOR),
        ("a long body", lambda it: [replace(step(it), body=b"x" * 257)], Code.BAD_TENSOR),
        ("no body", lambda it: [replace(step(it), body=b"")], Code.BAD_TENSOR),
        ("NaN", lambda it: [step(it, value=math.nan)], Code.NOT_FINITE),
        ("infinity", lambda it: [step(it, value=math.inf)], Code.NOT_FINITE),
        ("a later position", lambda it: [replace(step(it), position=3)], Code.POSITION_MISMATCH),
        ("a step gap", lambda it: [replace(step(it), step=1)], Code.STEP_GAP),
        ("an epoch to come", lambda it: [replace(step(it), epoch=1)], Code.PROTOCOL),
        ("more than was reserved", lambda it: [step(it, count=65)], Code.CONTEXT_FULL),
        ("a cut of what is not there", lambda it: [cut(it, position=1)], Code.POSITION_MISMATCH),
        ("a cut that skips an epoch", lambda it: [cut(it, epoch=2)], Code.PROTOCOL),
        (
            "a window and more",
            lambda it: [replace(step(it), step=number, position=number) for number in range(40)],
            Code.WINDOW_EXCEEDED,
        ),
    ],
)
async def test_a_step_that_cannot_be_ends_its_session_by_its_code(
    swarm: Swarm, attacker: Attacker, model_id: ModelId, name: str, steps: Steps, code: Code
) -> None:
    opened = opening(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    await attacker.send(*steps(opened.session))
    abort = await attacker.receive(Abort)
    assert (abort.session, Code(abort.code)) == (opened.session, code), name
    await swarm.until(swarm.middle, lambda now: now.sessions == 1)


async def test_a_step_before_ready_ends_the_session(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    opened = opening(attacker, model_id)
    await attacker.send(opened, step(opened.session))
    refused = await attacker.receive(Refused)
    assert (refused.session, refused.code) == (opened.session, Code.PROTOCOL)


async def test_a_step_for_a_session_that_is_not_there_is_said_so(attacker: Attacker) -> None:
    session = SessionId(secrets.token_bytes(16))
    for message in (step(session), cut(session)):
        await attacker.send(message)
        abort = await attacker.receive(Abort)
        assert (abort.session, abort.code) == (session, Code.UNKNOWN_SESSION)


async def test_a_repeated_step_is_computed_once(attacker: Attacker, model_id: ModelId) -> None:
    opened = opening(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    first, second = step(opened.session), replace(step(opened.session), step=1, position=1)
    await attacker.send(first, first, second, first)
    assert [(await attacker.receive(Output)).step for _ in range(2)] == [0, 1]
    await attacker.send(replace(first, step=2, position=2))
    assert (await attacker.receive(Output)).step == 2


async def test_a_cut_that_overtakes_its_steps_is_made_or_ends_the_session(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    opened = opening(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    await attacker.send(step(opened.session, count=64), cut(opened.session, position=64, next_step=1))
    # The step was computed before the cut came, or was dropped by it: then there is nothing to cut back to.
    said: Truncated | Abort = await attacker.receive(Truncated, Abort)
    if isinstance(said, Truncated):
        assert said.position == 64
    else:
        assert said.code == Code.POSITION_MISMATCH


# Other people's sessions.


async def test_a_stranger_cannot_touch_a_session(swarm: Swarm) -> None:
    for host, session in zip((swarm.middle, swarm.tail), sessions_of(swarm), strict=True):
        stranger = await Attacker.linked(host.address)
        for message in (step(session), cut(session, epoch=99)):
            await stranger.send(message)
            assert (await stranger.receive(Abort)).code == Code.UNKNOWN_SESSION
        await stranger.send(
            Credit(session=session, epoch=0, step=1 << 20),
            Abort(session=session, code=Code.CANCELLED, detail=""),
            Close(session=session),
            Tokens(session=session, epoch=0, step=0, position=1, ids=(7,), trace=()),
            Ready(session=session),
            Refused(session=session, code=Code.NOT_ALLOWED, detail=""),
        )
        await stranger.send(Describe())
        assert (await stranger.receive(Hosting)).offers[0].sessions == 1
        stranger.close()
    assert swarm.client.session.held, "the client's session was not opened anew"
    await swarm.assert_right()


# Leaving.


async def test_a_reset_in_the_middle_of_a_step_frees_the_session(swarm: Swarm, model_id: ModelId) -> None:
    for _ in range(8):
        peer = await Attacker.linked(swarm.middle.address)
        opened = opening(peer, model_id, positions=512)
        await peer.send(opened)
        await peer.receive(Ready)
        chunk = step(opened.session, count=128)
        await peer.send(*(replace(chunk, step=step, position=128 * step) for step in range(3)))
        peer.reset()
    await swarm.until(swarm.middle, lambda now: now.sessions == 1)


async def test_a_peer_that_vanishes_leaves_nothing_behind(swarm: Swarm, model_id: ModelId) -> None:
    free = (await swarm.offer(swarm.middle)).free_kv_bytes
    peer = await Attacker.linked(swarm.middle.address)
    opened = [
        passing_on(
            opening(peer, model_id),
            swarm.tail.peer_id,
            swarm.tail.address,
            SessionId(secrets.token_bytes(16)),
        )
        for _ in range(10)
    ]
    await peer.send(*opened)
    for _ in opened:
        await peer.receive(Ready)
    assert (await swarm.offer(swarm.middle)).free_kv_bytes < free
    peer.reset()
    await swarm.until(swarm.middle, lambda now: (now.sessions, now.free_kv_bytes) == (1, free))
