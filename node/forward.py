"""Serves sessions: joins the session machines to links and to the compute thread. Spec: `specs/forward.md`.

One task per session takes its steps and cuts in order; everything it waits for is bounded. What a peer sends can end
that peer's session, never another's. Decisions about a message's contents are in `wire.session`, decisions about
slices in `node.hosting`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, monotonic_ns
from typing import Final

from crypto.identity import PeerId
from node import steps
from node.correspondents import Correspondent, Loopback, Peers, tell
from node.errors import NodeError
from node.hosting import HostedSlice, Unsuitable, choose
from node.slices.budget import KVBudget
from node.slices.cache import SliceCache
from node.slices.compute import ComputeThread
from node.slices.errors import NotFinite, OutOfMemoryBudget, SliceError
from node.transport.errors import LinkClosed
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Phase
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Delivery, Open, Refused, Truncate
from wire.session import CutRequested, Ended, HostedSession, StepArrived, To
from wire.session_table import HostState
from wire.types import SessionId

log = logging.getLogger(__name__)

_IDLE_AFTER_S: Final = 0.5
"""A session without a step this long is between answers, so a shutdown does not wait for it."""
_RETRY_AFTER_MS: Final = 5_000


@dataclass(slots=True, eq=False)
class _Running:
    """One session and what it holds; its own key, since a client may use an id again as soon as it is free."""

    machine: HostedSession
    client: Correspondent
    """The very link it was opened over: of several processes of one identity, only that one knows the session."""
    slice: HostedSlice
    work: asyncio.Queue[tuple[StepArrived | CutRequested, int]]
    upstream: Correspondent | None = None
    """Where its steps come from, and so where credit goes."""
    next: Correspondent | None = None
    cache: SliceCache | None = None
    task: asyncio.Task[None] | None = None
    busy: bool = False
    last_step_s: float = field(default_factory=monotonic)

    @property
    def id(self) -> SessionId:
        return self.machine.opened.session


class SessionHost:
    """All sessions of this process."""

    def __init__(
        self,
        *,
        me: PeerId,
        compute: ComputeThread,
        budget: KVBudget,
        max_sessions: int = limits.MAX_SESSIONS,
        max_sessions_per_peer: int = limits.MAX_SESSIONS_PER_PEER,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.slices: tuple[HostedSlice, ...] = ()
        self.draining = False
        """Whether new sessions are refused."""
        self._compute = compute
        self._budget = budget
        self._max_sessions = max_sessions
        self._max_sessions_per_peer = max_sessions_per_peer
        self._clock = clock
        self._peers: Peers | None = None
        self._self = Loopback(me, self.on_message)
        self._running: dict[SessionId, _Running] = {}
        self._by_next: dict[tuple[PeerId | None, SessionId | None], _Running] = {}
        """Sessions by their next hop, which speaks of a session by its own id of it."""
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, peers: Peers) -> None:
        """Say over which links sessions speak; once, before the first message."""
        self._peers = peers

    @property
    def sessions(self) -> int:
        """Sessions held."""
        return len(self._running)

    @property
    def active(self) -> int:
        """Sessions with a step under way or a moment ago."""
        now = monotonic()
        return sum(
            run.busy or not run.work.empty() or now - run.last_step_s < _IDLE_AFTER_S
            for run in self._running.values()
        )

    def is_busy(self, link: Link) -> bool:
        """Whether a session needs this link, so that it must not be closed as idle."""
        return any(
            link.peer_id in (run.client.peer_id, run.machine.opened.upstream, run.machine.opened.next_peer)
            for run in self._running.values()
        )

    def hosting(self) -> Hosting:
        """What is served now."""
        free = self._budget.total - self._budget.used
        counts = {id(one): 0 for one in self.slices}
        for run in self._running.values():
            counts[id(run.slice)] += 1
        return Hosting(
            offers=tuple(one.offer(free_kv_bytes=free, sessions=counts[id(one)]) for one in self.slices),
            draining=self.draining,
        )

    def on_message(self, link: Correspondent, message: Message) -> None:
        """Take one message of a link."""
        if isinstance(message, Describe):
            tell(link, self.hosting())
        elif isinstance(message, Open):
            self._on_open(link, message)
        elif isinstance(message, Forward | Truncate | Credit | Close | Abort):
            if isinstance(message, Credit | Abort):
                run = self._by_next.get((link.peer_id, message.session))
            else:
                run = self._running.get(message.session)
            known = run is not None and run.machine.receive(message, sender=link.peer_id, now=self._clock())
            if known and run is not None:
                if isinstance(message, Forward):
                    run.upstream = link
                self._after(run)
            elif isinstance(message, Forward | Truncate):
                tell(
                    link,
                    Abort(
                        session=message.session,
                        code=Code.UNKNOWN_SESSION,
                        detail="no such session of yours here",
                    ),
                )

    def on_closed(self, link: Link, code: Code, detail: str) -> None:
        """A link is gone: free the sessions of that client, end those whose next hop it was."""
        log.info("link to %s ended: %s %s", link.peer_id.short, code.text, detail)
        for run in list(self._running.values()):
            if run.client is link:
                self._forget(run)
            elif run.next is link:
                run.machine.fail(
                    Code.HOP_LOST, f"the link to the next hop {link.peer_id.short} ended: {code.text}"
                )
                self._after(run)

    def on_time(self) -> None:
        """End sessions that have been idle too long; call now and then."""
        for run in list(self._running.values()):
            run.machine.on_time(now=self._clock())
            self._after(run)

    async def finish(self, grace_s: float) -> int:
        """Refuse new sessions, let answers under way finish, end the rest. Returns how many were cut off."""
        self.draining = True
        deadline = monotonic() + grace_s
        while self.active and monotonic() < deadline:  # noqa: ASYNC110 - an answer also ends by time passing
            await asyncio.sleep(0.05)
        cut_off = self.active
        for run in list(self._running.values()):
            run.machine.fail(Code.SHUTTING_DOWN, "the host is stopping")
            self._after(run)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limits.GOODBYE_GRACE_S)
        return cut_off

    def _on_open(self, link: Correspondent, opened: Open) -> None:
        refusal = self._refusal(link.peer_id, opened)
        chosen = choose(self.slices, opened)
        if refusal is None and isinstance(chosen, Unsuitable):
            refusal = (chosen.code, chosen.detail, None)
        if refusal is not None or isinstance(chosen, Unsuitable):
            code, detail, retry = refusal or (Code.NOT_HOSTING, "", None)
            tell(link, Refused(session=opened.session, code=code, detail=detail, retry_after_ms=retry))
            return
        try:
            machine = HostedSession(
                opened, client=link.peer_id, hidden_size=chosen.slice.hidden_size, now=self._clock()
            )
        except BadMessage as error:
            tell(link, Refused(session=opened.session, code=error.code, detail=error.detail))
            return
        run = _Running(machine, link, chosen, asyncio.Queue())
        self._running[opened.session] = run
        if opened.delivery is Delivery.NEXT:
            self._by_next[opened.next_peer, opened.next_session] = run
        run.task = asyncio.create_task(self._serve(run), name=f"session {opened.session}")
        self._tasks.add(run.task)
        run.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by a defect of this program", task.get_name(), exc_info=error)

    def _refusal(self, client: PeerId, opened: Open) -> tuple[Code, str, int | None] | None:
        if self.draining:
            return Code.DRAINING, "this host is stopping and takes no new sessions", None
        if opened.session in self._running:
            return Code.DUPLICATE_SESSION, "this session id is in use here; draw another", None
        if len(self._running) >= self._max_sessions:
            return Code.TOO_MANY_SESSIONS, f"all {self._max_sessions} sessions are taken", _RETRY_AFTER_MS
        if sum(run.client.peer_id == client for run in self._running.values()) >= self._max_sessions_per_peer:
            return (
                Code.TOO_MANY_SESSIONS,
                f"you hold {self._max_sessions_per_peer} sessions here already",
                None,
            )
        if (opened.next_peer, opened.next_session) in self._by_next:
            return Code.DUPLICATE_SESSION, "the next hop's session id is in use here; draw another", None
        return None

    async def _serve(self, run: _Running) -> None:
        """One session from its opening to its end."""
        try:
            if await self._opened(run):
                while run.machine.state is not HostState.CLOSED:
                    event, arrived_ns = await run.work.get()
                    run.busy = True
                    await self._step(run, event, arrived_ns)
                    run.busy = False
                    run.last_step_s = monotonic()
                    self._after(run)
        finally:
            run.machine.fail(Code.COMPUTE_FAILED, "the host could not go on with this session")
            self._send(run)
            self._forget(run)
            run.cache = None
            self._budget.release(run)

    async def _opened(self, run: _Running) -> bool:
        """Reserve memory, reach the next hop, answer. Returns whether the session is open."""
        opened, machine = run.machine.opened, run.machine
        need = run.slice.slice.kv_bytes(opened.layers, opened.positions)
        try:
            self._budget.reserve(run, need)
            run.cache = await self._compute.run(run.slice.slice.new_cache, opened.layers)
            if opened.next_peer == self._self.peer_id:
                run.next = self._self
            elif opened.next_peer is not None and opened.next_address is not None and self._peers is not None:
                async with asyncio.timeout(limits.OPEN_TIMEOUT_S / 2):
                    run.next = await self._peers.link_to(opened.next_peer, opened.next_address)
        except OutOfMemoryBudget:
            free = self._budget.total - self._budget.used
            machine.refuse(
                Code.NO_MEMORY,
                f"{need} bytes of KV memory are needed, {free} are free",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        except (NodeError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            machine.refuse(Code.NEXT_UNREACHABLE, f"the next hop cannot be reached: {reason}")
        else:
            if machine.state is HostState.OPENING:
                machine.accept()
        self._after(run)
        return machine.state is HostState.OPEN

    async def _step(self, run: _Running, event: StepArrived | CutRequested, arrived_ns: int) -> None:
        cache = run.cache
        if cache is None:
            return
        if isinstance(event, CutRequested):
            try:
                held_positions = await self._compute.run(_truncate, cache, event.position)
            except SliceError:
                run.machine.fail(Code.POSITION_MISMATCH, f"the cache cannot be cut back to {event.position}")
            else:
                run.machine.cut_done(event, held_positions)
            return
        forward = event.forward
        if not run.machine.current(forward):
            return
        held = run.slice.slice
        try:
            result = await self._compute.run(steps.run, held, cache, run.machine.opened, forward, arrived_ns)
        except NotFinite:
            run.machine.fail(Code.NOT_FINITE, "the hidden states hold NaN or infinity")
        except (SliceError, RuntimeError, MemoryError) as error:
            log.warning("session %s: a step failed: %s", run.id, type(error).__name__)
            run.machine.fail(Code.COMPUTE_FAILED, "the slice could not compute this step")
        else:
            if forward.phase is Phase.DECODE and run.machine.opened.layers == run.slice.layers:
                run.slice.step_us.append(result.trace[-1].compute_us)
            await self._make_room(run)
            run.machine.deliver(forward, result)

    async def _make_room(self, run: _Running) -> None:
        """Hold a result back while the link to the next hop is full, so that many sessions cannot overflow it."""
        following = run.machine.opened.next_peer
        link = self._peers.links.get(following) if following is not None and self._peers is not None else None
        if link is not None:
            with contextlib.suppress(LinkClosed):
                await link.drain()

    def _after(self, run: _Running) -> None:
        """Act on what the machine decided: queue work, send messages, end the session."""
        for event in run.machine.events():
            if isinstance(event, Ended):
                self._send(run)
                self._forget(run)
                return
            run.work.put_nowait((event, monotonic_ns()))
        self._send(run)

    def _send(self, run: _Running) -> None:
        for to, message in run.machine.messages_to_send():
            link = self._way(run, to)
            if link is not None and tell(link, message):
                continue
            if to is To.NEXT:
                run.machine.fail(Code.HOP_LOST, "the link to the next hop is gone")
                self._after(run)
                return

    def _way(self, run: _Running, to: To) -> Correspondent | None:
        """The link to one of a session's correspondents."""
        if to is not To.NEXT:
            return run.client if to is To.CLIENT else run.upstream
        if run.next is not self._self and self._peers is not None:
            run.next = self._peers.links.get(run.machine.peer(to))
        return run.next

    def _forget(self, run: _Running) -> None:
        """Stop the session's task; its `finally` frees what it holds."""
        opened = run.machine.opened
        if self._running.get(run.id) is run:
            del self._running[run.id]
        following = opened.next_peer, opened.next_session
        if self._by_next.get(following) is run:
            del self._by_next[following]
        if run.task is not None and run.task is not asyncio.current_task():
            run.task.cancel()


def _truncate(cache: SliceCache, position: int) -> int:
    """Cut the cache back; returns what it holds, which is less than asked for when the cut overtook its steps."""
    cache.truncate(min(position, cache.length))
    return cache.length
