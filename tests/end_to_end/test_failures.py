"""What happens to an answer when a host dies, hangs or is left: the person is told why, and the next question works."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from chat.errors import ChainBroken, HostUnreachable, NoRoute
from chat.events import Prefilling, TextDelta
from chat.session import AnswerSession
from tests.end_to_end.conftest import Hosts, Reference
from tests.fakes import asking, hosts
from tests.fakes.hosts import Host, HostOptions, Program
from tests.fakes.observer import Observer, observing
from wire import limits
from wire.codes import Code

pytestmark = pytest.mark.timeout(300)

PROMPT = range(10, 40)
LONG = 400
SOON_S = 5.0
"""A dead process shows by its closed socket; nothing has to time out."""


@pytest_asyncio.fixture
async def observer() -> AsyncIterator[Observer]:
    """Who watches what hosts hold."""
    async with observing() as one:
        yield one


async def _asked(session: AnswerSession, at: int, act: Callable[[], None]) -> list[int]:
    """Ask for a long answer and `act` when `at` tokens have come; returns the tokens. Raises what the answer raises."""
    drawn: list[int] = []
    async for event in session.answer(PROMPT, asking.NoText(), asking.answer_options(LONG)):
        if isinstance(event, TextDelta):
            drawn += event.token_ids
            if len(drawn) == at:
                act()
    return drawn


async def _broken(session: AnswerSession, act: Callable[[], None], within_s: float) -> ChainBroken:
    """What a person is told when `act` happens in the middle of an answer."""
    with pytest.raises(ChainBroken) as broken:
        async with asyncio.timeout(hosts.START_TIMEOUT_S) as deadline:
            loop = asyncio.get_running_loop()

            def then() -> None:
                act()
                deadline.reschedule(loop.time() + within_s)

            await _asked(session, 5, then)
    return broken.value


async def test_a_killed_host_is_told_at_once_and_the_next_question_goes_round_it(
    tiny_model: Path, run_hosts: Hosts, whole_model_tokens: Reference, tmp_path: Path, observer: Observer
) -> None:
    expected = whole_model_tokens(tiny_model, PROMPT, 8)
    with run_hosts(tiny_model, ["1:3", "3:5", "3:5"]) as (middle, *tails):
        contacts = [host.contact for host in (middle, *tails)]
        async with asking.client(tiny_model, contacts, tmp_path / "identity") as client:
            assert await asking.tokens(client.session, PROMPT, 8) == expected
            used = await _used(observer, tails)
            spare = next(tail for tail in tails if tail is not used)
            error = await _broken(client.session, lambda: used.send_signal(signal.SIGKILL), SOON_S)
            assert error.code in (Code.CONNECTION_LOST, Code.HOP_LOST)
            assert "ask again" in str(error)
            await observer.until_free(middle, spare)
            assert await asking.tokens(client.session, PROMPT, 8) == expected, "by way of the spare host"
            assert (await observer.offer(spare)).sessions == 1

            address = middle.address
            await _broken(client.session, lambda: middle.send_signal(signal.SIGKILL), SOON_S)
            await observer.until_free(spare)
            with pytest.raises((NoRoute, HostUnreachable)) as nobody:
                await asking.tokens(client.session, PROMPT, 8)
            assert "1:3" in str(nobody.value)

            options = HostOptions(listen=address)
            replacement = hosts.start(tmp_path / "replacement", tiny_model, "1:3", options)
            try:
                replacement.wait_ready()
                # Another host at a known address is not the host that was meant.
                with pytest.raises(NoRoute, match="1:3"):
                    await asking.tokens(client.session, PROMPT, 8)
            finally:
                replacement.end()


async def test_a_host_that_comes_back_is_used_again(
    tiny_model: Path, whole_model_tokens: Reference, tmp_path: Path
) -> None:
    expected = whole_model_tokens(tiny_model, PROMPT, 8)
    first = hosts.start(tmp_path / "host", tiny_model, "1:5")
    try:
        contact = first.wait_ready()
        async with asking.client(tiny_model, [contact], tmp_path / "identity") as client:
            assert await asking.tokens(client.session, PROMPT, 8) == expected
            await _broken(client.session, lambda: first.send_signal(signal.SIGKILL), SOON_S)
            assert first.wait() == -signal.SIGKILL
            again = hosts.start(tmp_path / "host", tiny_model, "1:5", HostOptions(listen=contact.address))
            try:
                assert again.wait_ready() == contact, "the same identity at the same address"
                assert await asking.tokens(client.session, PROMPT, 8) == expected
            finally:
                again.end()
    finally:
        first.end()


async def test_a_host_that_hangs_is_noticed_in_seconds_and_frees_its_sessions_when_it_wakes(
    tiny_model: Path, run_hosts: Hosts, whole_model_tokens: Reference, tmp_path: Path, observer: Observer
) -> None:
    with run_hosts(tiny_model, ["1:3", "3:5"]) as (middle, tail):
        contacts = [middle.contact, tail.contact]
        async with asking.client(tiny_model, contacts, tmp_path / "identity") as client:
            within_s = limits.PING_INTERVAL_S + limits.ACK_TIMEOUT_S + 2
            error = await _broken(client.session, lambda: tail.send_signal(signal.SIGSTOP), within_s)
            assert error.code in (Code.TIMEOUT, Code.HOP_LOST)
            await observer.until_free(middle)
            tail.send_signal(signal.SIGCONT)
            await observer.until_free(tail)
            expected = whole_model_tokens(tiny_model, PROMPT, 8)
            assert await asking.tokens(client.session, PROMPT, 8) == expected


async def test_an_answer_that_is_left_stops_everywhere_and_keeps_what_was_said(
    tiny_model: Path,
    run_hosts: Hosts,
    whole_model_tokens: Reference,
    tmp_path: Path,
    observer: Observer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A prompt in many steps, so that there is a middle to leave it in.
    monkeypatch.setattr("chat.session.chunk_tokens", lambda route, hidden_size: 16)
    prompt = [(7 * index) % 500 for index in range(LONG)]
    with run_hosts(tiny_model, ["1:3", "3:5"]) as pair:
        contacts = [host.contact for host in pair]
        async with asking.client(tiny_model, contacts, tmp_path / "identity") as client:
            session = client.session
            await session.prepare_chain()
            opened = _sessions(session)

            held = await _left(session, prompt, Prefilling, 1)
            assert 0 < len(held) < len(prompt), "some of the prompt had been sent"
            assert held == prompt[: len(held)]
            await _ask_after(session, whole_model_tokens, tiny_model, prompt, len(held))

            await session.close()
            await observer.until_free(*pair)
            await session.prepare_chain()
            assert _sessions(session) != opened
            opened = _sessions(session)
            held = await _left(session, PROMPT, TextDelta, 6)
            said = session.answered
            assert len(said) == 6
            assert held == [*PROMPT, *said[:-1]]
            follow_up = [*PROMPT, *said, 77, 78, 79]
            await _ask_after(session, whole_model_tokens, tiny_model, follow_up, len(held))
            assert _sessions(session) == opened, "the same sessions went on"
            for host in pair:
                assert (await observer.offer(host)).sessions == 1
        await observer.until_free(*pair)


async def test_a_client_that_is_killed_leaves_no_session_behind(
    tiny_model: Path, run_hosts: Hosts, observer: Observer, tmp_path: Path
) -> None:
    with run_hosts(tiny_model, ["1:3", "3:5"]) as pair:
        free = [(await observer.offer(host)).free_kv_bytes for host in pair]
        peers = [word for host in pair for word in ("--peer", str(host.address))]
        words = ["lamella", "ask", "--json", "--model", str(tiny_model), *peers, "--max-tokens", "400"]
        words += ["--dtype", "float32", "--threads", "1", "--context", "512", "Who are you?"]
        program = Program(_lamella, words)
        try:
            seen = [await asyncio.to_thread(_next_event, program)]
            while seen[-1] != "text":
                assert seen[-1] in ("planned", "prefilling"), (seen, program.stderr)
                seen.append(await asyncio.to_thread(_next_event, program))
            for host in pair:
                assert (await observer.offer(host)).sessions == 1
            program.send_signal(signal.SIGKILL)
            assert program.wait() == -signal.SIGKILL
        finally:
            program.end()
        for host, bytes_before in zip(pair, free, strict=True):
            await observer.until_free(host)
            # A default binds the loop's value.
            await observer.until(host, lambda offer, was=bytes_before: offer.free_kv_bytes == was)  # type: ignore[misc]


async def _used(observer: Observer, candidates: Sequence[Host]) -> Host:
    """The one host that holds a session."""
    holding = [host for host in candidates if (await observer.offer(host)).sessions]
    assert len(holding) == 1
    return holding[0]


async def _left(
    session: AnswerSession, prompt: Sequence[int], kind: type[Prefilling] | type[TextDelta], count: int
) -> list[int]:
    """Ask, and leave the answer at the `count`th event of a kind; returns what the chain then holds."""
    seen = 0
    async with aclosing(session.answer(prompt, asking.NoText(), asking.answer_options(LONG))) as events:
        async for event in events:
            seen += isinstance(event, kind)
            if seen == count:
                break
    return list(session.held)


async def _ask_after(
    session: AnswerSession, reference: Reference, model: Path, prompt: Sequence[int], reused: int
) -> None:
    """The next answer is exact, and what the hops held was not sent again."""
    drawn: list[int] = []
    seen: set[int] = set()
    async for event in session.answer(prompt, asking.NoText(), asking.answer_options(8)):
        if isinstance(event, Prefilling):
            seen.add(event.reused_tokens)
        if isinstance(event, TextDelta):
            drawn += event.token_ids
    assert drawn == reference(model, prompt, 8)
    assert seen == {reused}


def _sessions(session: AnswerSession) -> tuple[object, ...]:
    chain = session._chain
    assert chain is not None
    return chain.sessions


def _next_event(program: Program) -> str:
    line = program.lines.get(timeout=hosts.START_TIMEOUT_S)
    assert line is not None, program.stderr
    return str(json.loads(line)["event"])


def _lamella() -> int:
    from chat.cli import main

    return main()
