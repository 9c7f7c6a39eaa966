"""One conversation's sessions along a route: opened together, fed at the first hop, answered by the last.

Joins the machines of `wire.client_session` to links. Knows no tokenizer and no tensor; the answer's loop is
`chat.session`. Spec: `specs/forward.md` §Sessions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chat.errors import ChainBroken, ChatError, Refused
from chat.hop_ways import way_between
from chat.route import Hop, Route
from crypto.identity import PeerId
from node.transport.errors import LinkClosed
from wire import limits
from wire.client_session import HopEnded, HopReady, HopSession, HopTruncated, StepAnswered, WindowOpened
from wire.codes import Code
from wire.messages.base import Body, Message
from wire.messages.forward import Forward, Output, Phase, Tokens
from wire.messages.session import Delivery, Open
from wire.session_table import ClientState
from wire.tensors import TensorSpec
from wire.types import Relayed, Sampling, SessionId


class Sender(Protocol):
    """A link, as much of it as a chain needs."""

    @property
    def peer_id(self) -> PeerId:
        """Who is at the other end."""
        ...

    def send(self, message: Message) -> None:
        """Queue a message; never blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSpec:
    """What every hop of a chain is asked for."""

    route: Route
    me: PeerId
    hidden_size: int
    """W, of the hidden states `[1, T, W]` that travel."""
    positions: int
    sampling: Sampling
    logprobs: int = 0


class Chain:
    """The sessions of one conversation on all hops of its route."""

    def __init__(self, spec: ChainSpec, links: Mapping[PeerId, Sender], ids: tuple[SessionId, ...]) -> None:
        """Prepare a session per hop; `ids` are as many fresh random session ids as the route has hops."""
        self.spec = spec
        self._links = links
        self._sessions = {
            opened.session: HopSession(opened, hidden_size=spec.hidden_size) for opened in _opens(spec, ids)
        }
        self._hops = dict(zip(self._sessions, spec.route.hops, strict=True))
        self._order = tuple(self._sessions.values())
        self._step = 0
        self._epoch = 0
        self._answers: deque[Tokens | Output] = deque()
        self._changed = asyncio.Event()
        self._failure: ChatError | None = None

    @property
    def alive(self) -> bool:
        """Whether every hop holds its session."""
        return self._failure is None and all(one.state is not ClientState.CLOSED for one in self._order)

    @property
    def sessions(self) -> tuple[SessionId, ...]:
        """The session's id at each hop, in the order of the route."""
        return tuple(self._sessions)

    async def open(self) -> None:
        """Open the sessions on all hops at once. Raises `Refused` or `ChainBroken`; nothing is left open then."""
        try:
            async with asyncio.timeout(limits.OPEN_TIMEOUT_S):
                self._flush()
                await self._until(self._all_ready)
        except TimeoutError as error:
            waiting = ", ".join(
                f"{hop.peer.short} at {hop.address}"
                for hop, one in zip(self.spec.route.hops, self._order, strict=True)
                if one.state is ClientState.OPENING
            )
            raise ChainBroken(
                f"{waiting} did not open a session within {limits.OPEN_TIMEOUT_S:g} s; try again",
                code=Code.TIMEOUT,
            ) from error
        finally:
            if not self._all_ready():
                self.close()

    async def send(
        self,
        spec: TensorSpec,
        body: Body,
        *,
        position: int,
        phase: Phase,
        sample: bool,
        ids: tuple[int, ...] = (),
    ) -> None:
        """Send one step's hidden states `[1, T, W]` into the chain, as soon as its window allows.

        The `ids` of its T tokens go along just where the first hop's layers need them.
        """
        async with asyncio.timeout(limits.STEP_TIMEOUT_S):
            await self._until(lambda: self._order[0].may_send)
        forward = Forward(
            session=self._order[0].opened.session,
            epoch=self._epoch,
            step=self._step,
            position=position,
            phase=phase,
            sample=sample,
            count=spec.shape[1],
            dtype=spec.dtype,
            shape=spec.shape,
            tokens=ids if self.spec.route.hops[0].sees_tokens else None,
            trace=(),
            body=body,
        )
        self._step += 1
        for index, one in enumerate(self._order):
            one.announce(forward, send=index == 0)
        self._flush()

    async def answer(self) -> Tokens | Output:
        """Return the next answer of the last hop, in the order of the steps. Raises `ChainBroken`."""
        try:
            async with asyncio.timeout(limits.STEP_TIMEOUT_S):
                await self._until(lambda: bool(self._answers))
        except TimeoutError as error:
            raise ChainBroken(
                f"no answer within {limits.STEP_TIMEOUT_S:g} s; ask again to plan another route",
                code=Code.TIMEOUT,
            ) from error
        return self._answers.popleft()

    async def truncate(self, position: int) -> None:
        """Drop all positions from `position` on, and every step under way, on every hop. Raises `ChainBroken`."""
        try:
            async with asyncio.timeout(limits.OPEN_TIMEOUT_S):
                # A cut whose caller was cancelled may still be under way.
                await self._until(self._all_ready)
                self._epoch += 1
                for one in self._order:
                    one.truncate(position)
                self._answers.clear()
                self._flush()
                await self._until(self._all_ready)
        except TimeoutError as error:
            self.close()
            raise ChainBroken(
                "a host did not confirm the cut in time; ask again", code=Code.TIMEOUT
            ) from error

    def close(self) -> None:
        """End the session on every hop that still holds it."""
        for one in self._order:
            one.close()
        self._flush()

    def on_message(self, sender: PeerId, message: Message) -> bool:
        """Take a message of a link; returns whether it belongs to this chain."""
        session = getattr(message, "session", None)
        if not isinstance(session, SessionId) or session not in self._sessions:
            return False
        if self._hops[session].peer == sender:
            self._sessions[session].receive(message)
            self._react()
        return True

    def on_closed(self, peer: PeerId, code: Code, detail: str) -> None:
        """A link is gone, and with it the sessions of that host."""
        for session, hop in self._hops.items():
            if hop.peer == peer:
                self._sessions[session].fail(code, detail or code.text)
        self._react()

    def _all_ready(self) -> bool:
        return all(one.state is ClientState.READY for one in self._order)

    def _react(self) -> None:
        for session, one in self._sessions.items():
            for event in one.events():
                match event:
                    case StepAnswered(answer):
                        self._answers.append(answer)
                    case HopEnded():
                        self._fail(self._hops[session], event)
                    case HopReady() | HopTruncated() | WindowOpened():
                        pass
        self._flush()
        self._changed.set()

    def _fail(self, hop: Hop, ended: HopEnded) -> None:
        """Remember the first failure and end the rest of the chain."""
        if self._failure is not None:
            return
        where = f"host {hop.peer.short} (layers {hop.layers}, {hop.address})"
        code = ended.code.text if ended.code is not None else "unknown code"
        if ended.refused:
            again = (
                f"; it suggests trying again in {ended.retry_after_ms / 1000:g} s"
                if ended.retry_after_ms
                else ""
            )
            self._failure = Refused(f"{where} refused: {ended.detail} [{code}]{again}", code=ended.code)
        else:
            self._failure = ChainBroken(
                f"{where} ended the session: {ended.detail} [{code}]; ask again", code=ended.code
            )
        for one in self._order:
            one.close()

    def _flush(self) -> None:
        for session, one in self._sessions.items():
            link = self._links.get(self._hops[session].peer)
            for message in one.messages_to_send():
                try:
                    if link is None:
                        one.fail(Code.CONNECTION_LOST, "the link to it is gone")
                    else:
                        link.send(message)
                except LinkClosed as error:
                    one.fail(error.code, error.detail or error.code.text)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds. Raises the failure of the chain if that comes first."""
        self._collect_failures()
        while not condition():
            self._raise_failure()
            self._changed.clear()
            await self._changed.wait()
        self._raise_failure()

    def _collect_failures(self) -> None:
        if any(one.state is ClientState.CLOSED for one in self._order) and self._failure is None:
            self._react()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _opens(spec: ChainSpec, ids: tuple[SessionId, ...]) -> list[Open]:
    """The request to each hop; neighbours are told of each other, nobody of the whole route."""
    route = spec.route
    opens = []
    for index, (hop, session) in enumerate(zip(route.hops, ids, strict=True)):
        last = index + 1 == len(route.hops)
        after = None if last else route.hops[index + 1]
        way = way_between(hop, after) if after else None
        delivery = Delivery.NEXT if after else Delivery.HIDDEN if route.private_ends else Delivery.TOKENS
        opens.append(
            Open(
                session=session,
                model=route.model,
                layers=hop.layers,
                dtype=hop.dtype,
                weights=hop.weights,
                upstream=route.hops[index - 1].peer if index else spec.me,
                delivery=delivery,
                next_peer=after.peer if after else None,
                next_address=way.address if isinstance(way, Relayed) else way,
                next_relay=way.relay if isinstance(way, Relayed) else None,
                next_session=None if last else ids[index + 1],
                sampling=spec.sampling if delivery is Delivery.TOKENS else None,
                logprobs=spec.logprobs if delivery is Delivery.TOKENS else 0,
                positions=spec.positions,
            )
        )
    return opens
