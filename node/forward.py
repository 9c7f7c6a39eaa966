"""Serves sessions: joins the session machines to links and to the compute thread. Spec: `specs/forward.md`.

A session has at most one job on the compute thread; when that is done its result leaves and its next step follows,
all in callbacks of the loop: a token passes here without a task or a future. Everything that waits is bounded. What a
peer sends can end that peer's session, never another's. Decisions about a message's contents are in `wire.session`,
decisions about slices in `node.hosting`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic, monotonic_ns
from typing import Any, Final

from crypto.identity import PeerId
from node.correspondents import Correspondent, Loopback, Peers, tell
from node.errors import NodeError
from node.hosting import HostedSlice, Unsuitable, choose
from node.running import Running
from node.slices.budget import KVBudget
from node.slices.cache import SliceCache
from node.slices.compute import ComputeThread
from node.slices.engine import StepEngine
from node.slices.errors import ComputeStopped, NotFinite, OutOfMemoryBudget, SliceError
from node.steps import SessionStep
from node.transport.errors import LinkClosed
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Phase
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Delivery, Open, Refused, Truncate
from wire.session import CutRequested, Ended, HostedSession, Result, StepArrived, To
from wire.session_table import HostState
from wire.types import SessionId

log = logging.getLogger(__name__)

_RETRY_AFTER_MS: Final = 5_000


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
        self.shares: int | None = None
        """The port where peers get chunks of weights."""
        self._compute = compute
        self._engine = StepEngine(compute)
        self._budget = budget
        self._max_sessions = max_sessions
        self._max_sessions_per_peer = max_sessions_per_peer
        self._clock = clock
        self._peers: Peers | None = None
        self._self = Loopback(me, self.on_message)
        self._running: dict[SessionId, Running] = {}
        self._by_next: dict[tuple[PeerId | None, SessionId | None], Running] = {}
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
        return sum(run.is_active for run in self._running.values())

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
            shares=self.shares,
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

    async def finish(self, grace_s: float, *, only: HostedSlice | None = None) -> int:
        """Let answers under way finish, end the other sessions, and refuse new ones if all are to end.

        Args:
            only: the slice whose sessions are to end, which is not offered any more.

        Returns: How many answers were cut off.
        """
        code, why = Code.DRAINING, "the host leaves these layers"
        if only is None:
            self.draining, code, why = True, Code.SHUTTING_DOWN, "the host is stopping"
        deadline = monotonic() + grace_s
        while any(run.is_active for run in self._of(only)) and monotonic() < deadline:  # noqa: ASYNC110 - ends by time
            await asyncio.sleep(0.05)
        cut_off = sum(run.is_active for run in self._of(only))
        for run in self._of(only):
            run.machine.fail(code, why)
            self._after(run)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limits.GOODBYE_GRACE_S)
        return cut_off

    def _of(self, only: HostedSlice | None) -> list[Running]:
        return [run for run in self._running.values() if only is None or run.slice is only]

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
                opened,
                client=link.peer_id,
                hidden_size=chosen.slice.width,
                token_ids=chosen.token_ids(opened.layers),
                now=self._clock(),
            )
        except BadMessage as error:
            tell(link, Refused(session=opened.session, code=error.code, detail=error.detail))
            return
        run = Running(machine, link, chosen)
        self._running[opened.session] = run
        if opened.delivery is Delivery.NEXT:
            self._by_next[opened.next_peer, opened.next_session] = run
        run.opening = self._start(self._open(run), f"opening of session {opened.session}")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by a defect of this program", task.get_name(), exc_info=error)

    def _refusal(self, client: PeerId, opened: Open) -> tuple[Code, str, int | None] | None:
        if self.draining:
            return Code.DRAINING, "this host is stopping and takes no new sessions", None
        if opened.session in self._running:
            return Code.DUPLICATE_SESSION, "the session's id is in use here; draw another", None
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

    async def _open(self, run: Running) -> None:
        """Reserve memory, reach the next hop, answer."""
        opened, machine = run.machine.opened, run.machine
        need = run.slice.slice.kv_bytes(opened.layers, opened.positions)
        refusal: tuple[Code, str, int | None] | None = (
            Code.COMPUTE_FAILED,
            "the host could not open the session",
            None,
        )
        try:
            self._budget.reserve(run, need)
            run.cache = await self._compute.run(run.slice.slice.new_cache, opened.layers)
            if opened.next_peer == self._self.peer_id:
                run.next = self._self
            elif opened.next_peer is not None and opened.next_where is not None and self._peers is not None:
                async with asyncio.timeout(limits.OPEN_TIMEOUT_S / 2):
                    run.next = await self._peers.link_to(opened.next_peer, opened.next_where)
        except OutOfMemoryBudget as error:
            words = f"{error.wanted_bytes} bytes of KV memory are needed, {error.free_bytes} are free"
            refusal = Code.NO_MEMORY, words, _RETRY_AFTER_MS
        except (NodeError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            refusal = Code.NEXT_UNREACHABLE, f"the next hop cannot be reached: {reason}", None
        else:
            refusal = None
        finally:
            run.opening = None
            if machine.state is HostState.OPENING and refusal is None:
                machine.accept()
            elif machine.state is HostState.OPENING and refusal is not None:
                code, words, retry = refusal
                machine.refuse(code, words, retry_after_ms=retry)
            self._after(run)

    def _advance(self, run: Running) -> None:
        """Hand the session's next step or cut to the compute thread, unless one is there."""
        while run.work and not run.busy and run.cache is not None:
            event, arrived_ns = run.work.popleft()
            if isinstance(event, StepArrived) and not run.machine.current(event.forward):
                continue
            run.busy = True
            try:
                if isinstance(event, CutRequested):
                    cut = partial(_truncate, run.cache, event.position)
                    run.job = self._compute.submit(cut, partial(self._cut, run, event))
                else:
                    forward = event.forward
                    step = SessionStep(run.slice.slice, run.cache, run.machine.opened, forward, arrived_ns)
                    run.job = self._engine.submit(
                        step,
                        partial(self._computed, run, forward),
                        peer=run.client.peer_id,
                        is_token=forward.count == 1,
                    )
            except ComputeStopped:
                run.machine.fail(Code.SHUTTING_DOWN, "the host is stopping")
                self._after(run)

    def _cut(self, run: Running, cut: CutRequested, held_positions: int, error: BaseException | None) -> None:
        if error is None:
            run.machine.cut_done(cut, held_positions)
        else:
            self._failed(
                run, error, Code.POSITION_MISMATCH, f"the cache cannot be cut back to {cut.position}"
            )
        self._idle(run)

    def _computed(self, run: Running, forward: Forward, result: Result, error: BaseException | None) -> None:
        """A step has been computed: its result leaves at once, or when the link to the next hop has room for it."""
        if error is not None:
            self._failed(run, error, Code.COMPUTE_FAILED, "the slice could not compute this step")
        else:
            if forward.phase is Phase.DECODE and run.machine.opened.layers == run.slice.layers:
                run.slice.step_us.append(result.trace[-1].compute_us)
            if run.next is not None and run.next.crowded:
                # Held back, so that many sessions cannot overflow a link.
                run.job = None
                run.draining = self._start(
                    self._deliver_later(run, run.next, forward, result), f"a full link of {run.id}"
                )
                return
            run.machine.deliver(forward, result)
        self._idle(run)

    async def _deliver_later(
        self, run: Running, link: Correspondent, forward: Forward, result: Result
    ) -> None:
        with contextlib.suppress(LinkClosed):
            await link.drain()
        run.machine.deliver(forward, result)
        self._idle(run)

    def _failed(self, run: Running, error: BaseException, code: Code, detail: str) -> None:
        if isinstance(error, NotFinite):
            code, detail = Code.NOT_FINITE, "the hidden states hold NaN or infinity"
        elif not isinstance(error, SliceError | RuntimeError | MemoryError):
            log.error("session %s: a step failed by a defect of this program", run.id, exc_info=error)
        elif not isinstance(error, ComputeStopped):
            log.warning("session %s: a step failed: %s", run.id, type(error).__name__)
        run.machine.fail(code, detail)

    def _idle(self, run: Running) -> None:
        """The job under way is over."""
        run.job = None
        run.busy = False
        run.last_step_s = monotonic()
        if run.ended:
            self._release(run)
        else:
            self._after(run)

    def _after(self, run: Running) -> None:
        """Act on what the machine decided: queue work, send messages, end the session."""
        for event in run.machine.events():
            if isinstance(event, Ended):
                self._send(run)
                self._forget(run)
                return
            run.work.append((event, monotonic_ns()))
        self._send(run)
        self._advance(run)

    def _send(self, run: Running) -> None:
        for to, message in run.machine.messages_to_send():
            link = self._way(run, to)
            if link is not None and tell(link, message):
                continue
            if to is To.NEXT:
                run.machine.fail(Code.HOP_LOST, "the link to the next hop is gone")
                self._after(run)
                return

    def _way(self, run: Running, to: To) -> Correspondent | None:
        """The link to one of a session's correspondents."""
        if to is not To.NEXT:
            return run.client if to is To.CLIENT else run.upstream
        if run.next is not self._self and self._peers is not None:
            run.next = self._peers.links.get(run.machine.peer(to))
        return run.next

    def _forget(self, run: Running) -> None:
        """End a session: its ids are free at once, its memory when no job uses it any more."""
        opened = run.machine.opened
        if self._running.get(run.id) is run:
            del self._running[run.id]
        following = opened.next_peer, opened.next_session
        if self._by_next.get(following) is run:
            del self._by_next[following]
        run.ended = True
        run.work.clear()
        if run.opening is not None:
            run.opening.cancel()
        if run.job is not None:
            run.job.drop()
        if not run.busy:
            self._release(run)

    def _release(self, run: Running) -> None:
        run.cache = None
        self._budget.release(run)


def _truncate(cache: SliceCache, position: int) -> int:
    """Cut the cache back; returns what it holds, which is less than asked for when the cut overtook its steps."""
    cache.truncate(min(position, cache.length))
    return cache.length
