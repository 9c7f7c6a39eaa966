"""The loop of an answer: prefill what is new, then one token a step, as an asynchronous iterator of events.

Owns what the chain holds (`held`): the token ids whose KV state every hop has, so that the next turn sends only what
is new. Knows no screen, no socket and no chat template. Spec: `specs/forward.md` §Steps.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from chat.chain import Chain
from chat.errors import ChainBroken, ChatError
from chat.events import Event, Finished, FinishReason, HopStats, Planned, Prefilling, Stats, TextDelta
from chat.front import Front
from chat.prefill import chunk_tokens
from node.slices.compute import ComputeThread
from node.slices.errors import NotFinite, SliceError
from wire.codes import Code
from wire.messages.forward import HopTime, Output, Phase, Tokens
from wire.types import Sampling


class TextStream(Protocol):
    """Turns token ids into text, whole characters at a time."""

    def feed(self, token: int) -> str:
        """Return the text that is certain now."""
        ...

    def finish(self) -> str:
        """Return what is left at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """What ends an answer, and how its tokens are drawn with private ends."""

    stop_ids: frozenset[int]
    max_tokens: int
    positions: int
    """The chain's positions: prompt and answer together."""
    sampling: Sampling


@dataclass(slots=True)
class _Timing:
    """What was measured while an answer was made."""

    asked_s: float = field(default_factory=perf_counter)
    first_s: float = 0.0
    last_s: float = 0.0
    steps_ms: list[float] = field(default_factory=list)
    front_ms: list[float] = field(default_factory=list)
    traces: list[tuple[HopTime, ...]] = field(default_factory=list)


class AnswerSession:
    """One conversation's chain and what it holds."""

    def __init__(
        self, *, front: Front, compute: ComputeThread, open_chain: Callable[[], Awaitable[Chain]]
    ) -> None:
        """`open_chain` plans a route and opens it; called when there is no living chain."""
        self._front = front
        self._compute = compute
        self._open_chain = open_chain
        self._chain: Chain | None = None
        self._torn = False
        """Whether an answer ended without all hops being brought to what is held."""
        self.held: list[int] = []
        """The ids every hop holds KV state for."""
        self.answered: list[int] = []
        """The ids of the latest answer, without the id that stopped it."""

    async def answer(
        self, ids: Sequence[int], text: TextStream, options: AnswerOptions
    ) -> AsyncGenerator[Event, None]:
        """Answer the prompt `ids`, reusing what the chain holds of it.

        Closing the iterator cancels the answer on every hop and keeps what was answered. Raises `ChatError`.
        """
        self.answered = []
        timing = _Timing()
        whole = False
        try:
            chain, reused = await self._prepare(ids)
            self._torn = True
            if reused == 0 or not self.held:
                yield Planned(route=chain.spec.route)
            token: int | None = None
            async for done, drawn in self._prefill(chain, ids[reused:], options):
                yield Prefilling(done_tokens=done, total_tokens=len(ids) - reused, reused_tokens=reused)
                token = drawn
            said: list[str] = []
            reason = FinishReason.LENGTH
            timing.first_s = timing.last_s = perf_counter()
            while token is not None:
                if token in options.stop_ids:
                    reason = FinishReason.STOP
                    break
                self.answered.append(token)
                delta = text.feed(token)
                said.append(delta)
                yield TextDelta(text=delta, token_ids=(token,))
                if len(self.answered) >= options.max_tokens or len(self.held) >= options.positions:
                    break
                token = await self._decode(chain, token, options, timing)
            rest = text.finish()
            if rest:
                said.append(rest)
                yield TextDelta(text=rest, token_ids=())
            whole, self._torn = True, False
            yield Finished(
                reason=reason, text="".join(said), stats=self._stats(chain, len(ids), reused, timing)
            )
        except SliceError as error:
            raise ChatError(f"this machine's own layers could not go on: {error}") from error
        finally:
            if not whole:
                await self._settle()

    async def prepare_chain(self) -> Chain:
        """Return the living chain, opening one if there is none. Raises `ChatError`."""
        if self._chain is None or not self._chain.alive:
            await self.close()
            self._chain = await self._open_chain()
        return self._chain

    async def close(self) -> None:
        """End the sessions on every hop and forget what they held."""
        chain, self._chain = self._chain, None
        self.held, self._torn = [], False
        if chain is not None:
            chain.close()
        await self._compute.run(self._front.truncate, 0)

    async def _prepare(self, ids: Sequence[int]) -> tuple[Chain, int]:
        """Return a living chain, cut back to what it shares with `ids`, and how many ids that is."""
        chain = await self.prepare_chain()
        # The last id is always sent: its logits are what the first token is drawn from.
        shared = 0
        for ours, theirs in zip(self.held, ids[:-1], strict=False):
            if ours != theirs:
                break
            shared += 1
        if self._torn or shared < len(self.held):
            await self._cut(chain, shared)
        return chain, shared

    async def _prefill(
        self, chain: Chain, ids: Sequence[int], options: AnswerOptions
    ) -> AsyncGenerator[tuple[int, int | None], None]:
        """Send `ids` in chunks without waiting in between; yields how many are done and, at last, the token drawn."""
        start = len(self.held)
        size = chunk_tokens(chain.spec.route, chain.spec.hidden_size)
        chunks = [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]
        sending = asyncio.create_task(self._send_chunks(chain, chunks, start), name="prefill")
        try:
            for chunk in chunks:
                answering = asyncio.create_task(chain.answer(), name="prefill answer")
                try:
                    await asyncio.wait({answering, sending}, return_when=asyncio.FIRST_COMPLETED)
                    if sending.done():
                        sending.result()
                    answer = await answering
                finally:
                    answering.cancel()
                self.held += chunk
                done = len(self.held) - start
                yield done, await self._token_of(answer, options) if done == len(ids) else None
        finally:
            sending.cancel()

    async def _send_chunks(self, chain: Chain, chunks: list[tuple[int, ...]], position: int) -> None:
        for chunk in chunks:
            spec, body = await self._compute.run(self._front.forward, chunk, position)
            await chain.send(
                spec, body, ids=chunk, position=position, phase=Phase.PREFILL, sample=chunk is chunks[-1]
            )
            position += len(chunk)

    async def _decode(self, chain: Chain, token: int, options: AnswerOptions, timing: _Timing) -> int:
        """Send one token round the ring and return the next."""
        position = len(self.held)
        started = perf_counter()
        spec, body = await self._compute.run(self._front.forward, (token,), position)
        fronted = perf_counter()
        await chain.send(spec, body, ids=(token,), position=position, phase=Phase.DECODE, sample=True)
        answer = await chain.answer()
        drawn = await self._token_of(answer, options)
        finished = perf_counter()
        self.held.append(token)
        timing.last_s = finished
        timing.front_ms.append((fronted - started) * 1e3)
        timing.steps_ms.append((finished - started) * 1e3)
        timing.traces.append(answer.trace)
        return drawn

    async def _token_of(self, answer: Tokens | Output, options: AnswerOptions) -> int:
        if isinstance(answer, Tokens):
            return answer.ids[0]
        try:
            return await self._compute.run(self._front.finish, answer, options.sampling)
        except NotFinite as error:
            await self.close()
            raise ChainBroken(
                "the hosts sent hidden states that hold NaN or infinity; ask again", code=Code.NOT_FINITE
            ) from error

    async def _settle(self) -> None:
        """After a cancelled or failed answer: bring every hop to the last position all of them are known to hold."""
        chain = self._chain
        if chain is None:
            return
        try:
            if chain.alive:
                await self._cut(chain, len(self.held))
        except ChatError:
            pass
        if not chain.alive:
            await self.close()

    async def _cut(self, chain: Chain, position: int) -> None:
        """Drop positions everywhere; the request goes to the hops first, so that they stop computing at once."""
        self._torn = True
        del self.held[position:]
        cutting = asyncio.ensure_future(chain.truncate(position))
        try:
            await self._compute.run(self._front.truncate, position)
        finally:
            await cutting
        self._torn = False

    def _stats(self, chain: Chain, prompt_tokens: int, reused: int, timing: _Timing) -> Stats:
        route, sampling = chain.spec.route, chain.spec.sampling
        steps = len(timing.steps_ms)
        front_ms = statistics.median(timing.front_ms) if steps else 0.0
        hops = [HopStats(peer=None, layers=route.front, compute_ms=front_ms, queue_ms=0.0)]
        for index, hop in enumerate(route.hops):
            times = [trace[index] for trace in timing.traces if len(trace) > index]
            hops.append(
                HopStats(
                    peer=hop.peer,
                    layers=hop.layers,
                    compute_ms=statistics.median(one.compute_us for one in times) / 1e3 if times else 0.0,
                    queue_ms=statistics.median(one.queue_us for one in times) / 1e3 if times else 0.0,
                )
            )
        staged = sum(one.compute_ms + one.queue_ms for one in hops)
        took_s = timing.last_s - timing.first_s
        return Stats(
            prompt_tokens=prompt_tokens,
            reused_tokens=reused,
            answer_tokens=len(self.answered),
            first_token_s=timing.first_s - timing.asked_s,
            decode_tokens_per_s=steps / took_s if steps and took_s > 0 else 0.0,
            links_ms=max(0.0, statistics.median(timing.steps_ms) - staged) if steps else 0.0,
            hops=tuple(hops),
            seed=sampling.seed if sampling.temperature > 0 else None,
        )
