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
from typing import Any

from crypto.identity import PeerId
from node.admission import Admission
from node.correspondents import Correspondent, Loopback, Peers, tell
from node.hosting import HostedSlice, Unsuitable, choose
from node.manners.allowance import Refusal
from node.opening import prepare
from node.running import Running
from node.sessions import Sessions
from node.sight.tally import Tally
from node.slices.budget import KVBudget
from node.slices.cache import SliceCache
from node.slices.compute import ComputeThread
from node.slices.engine import StepEngine
from node.slices.errors import ComputeStopped, NotFinite, SliceError
from node.steps import SessionStep, count
from node.transport.errors import LinkClosed
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Phase
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Open, Refused, Truncate
from wire.session import CutRequested, Ended, HostedSession, Result, StepArrived, To
from wire.session_table import HostState

log = logging.getLogger(__name__)


class SessionHost:
    """All sessions of this process."""

    def __init__(
        self,
        *,
        me: PeerId,
        compute: ComputeThread,
        budget: KVBudget,
        admission: Admission | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.slices: tuple[HostedSlice, ...] = ()
        self.admission = admission or Admission(clock=clock)
        self.tally = Tally()
        self.shares: int | None = None
        """The port where peers get chunks of weights."""
        self._compute = compute
        self._engine = StepEngine(compute)
        self._budget = budget
        self._clock = clock
        self._peers: Peers | None = None
        self._self = Loopback(me, self.on_message)
        self._sessions = Sessions()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def compute(self) -> ComputeThread:
        """The thread that computes."""
        return self._compute

    def connect(self, peers: Peers) -> None:
        """Say over which links sessions speak; once, before the first message."""
        self._peers = peers

    @property
    def sessions(self) -> int:
        """Sessions held."""
        return len(self._sessions)

    @property
    def running(self) -> tuple[Running, ...]:
        """The sessions themselves, to be looked at."""
        return self._sessions.all()

    def is_busy(self, link: Link) -> bool:
        """Whether a session needs this link, so that it must not be closed as idle."""
        return self._sessions.needs(link.peer_id)

    def hosting(self) -> Hosting:
        """What is served now."""
        free = self._budget.total - self._budget.used
        counts = self._sessions.counts()
        return Hosting(
            offers=tuple(
                one.offer(free_kv_bytes=free, sessions=counts[id(one)])
                for one in self.slices
                if self.admission.takes(one)
            ),
            draining=self.admission.closed,
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
                run = self._sessions.ahead(link.peer_id, message.session)
            else:
                run = self._sessions.called(message.session)
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
        for run in self._sessions.all():
            if run.client is link:
                self._forget(run)
            elif run.next is link:
                run.machine.fail(
                    Code.HOP_LOST, f"the link to the next hop {link.peer_id.short} ended: {code.text}"
                )
                self._after(run)

    def on_time(self) -> None:
        """End sessions that have been idle too long; call now and then."""
        for run in self._sessions.all():
            run.machine.on_time(now=self._clock())
            self._after(run)

    async def finish(self, grace_s: float) -> int:
        """Refuse new sessions, let answers under way finish, and end the other sessions; how many were cut off."""
        self.admission.closed = True
        deadline = monotonic() + grace_s
        while any(run.may_go_on for run in self.running) and monotonic() < deadline:  # noqa: ASYNC110 - ends by time
            await asyncio.sleep(0.05)
        return await self.end(None, Code.SHUTTING_DOWN)

    def active_of(self, only: HostedSlice | None = None) -> int:
        """Sessions of a slice, or of all, with a step under way or a moment ago."""
        return sum(run.is_active for run in self._sessions.on(only))

    async def end(self, only: HostedSlice | None, code: Code) -> int:
        """End the sessions of a slice, or all, and wait until they are closed; how many answers were cut off."""
        cut_off = self.active_of(only)
        for run in self._sessions.on(only):
            run.machine.fail(code, "the host is stopping" if only is None else "the host leaves these layers")
            self._after(run)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limits.GOODBYE_GRACE_S)
        return cut_off

    def _on_open(self, link: Correspondent, opened: Open) -> None:
        chosen = choose(self.slices, opened)
        refusal = self._refusal(link.peer_id, opened, chosen)
        if refusal is not None or isinstance(chosen, Unsuitable):
            refusal = refusal or Refusal(Code.NOT_HOSTING, "")
            self.tally.session_refused(refusal.code)
            tell(link, refusal.of(opened.session))
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
        self._sessions.add(run)
        self.admission.entered(run, link.peer_id)
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

    def _refusal(self, client: PeerId, opened: Open, chosen: HostedSlice | Unsuitable) -> Refusal | None:
        refusal = self.admission.of_client(client) or self._sessions.refusal(opened)
        if refusal is not None:
            return refusal
        if isinstance(chosen, Unsuitable):
            return Refusal(chosen.code, chosen.detail)
        return self.admission.of_slice(chosen)

    async def _open(self, run: Running) -> None:
        """Reserve memory, reach the next hop, answer."""
        machine = run.machine
        refusal: Refusal | None = Refusal(Code.COMPUTE_FAILED, "the host could not open the session")
        try:
            refusal = await prepare(
                run,
                budget=self._budget,
                compute=self._compute,
                peers=self._peers,
                own=self._self,
                hint_ms=self.admission.hint_ms,
            )
        finally:
            run.opening = None
            if machine.state is HostState.OPENING and refusal is None:
                machine.accept()
                self.tally.session_opened()
            elif machine.state is HostState.OPENING and refusal is not None:
                machine.refuse(refusal.code, refusal.detail, retry_after_ms=refusal.retry_after_ms)
                self.tally.session_refused(refusal.code)
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
                        partial(self._computed, run, forward, arrived_ns),
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

    def _computed(
        self, run: Running, forward: Forward, arrived_ns: int, result: Result, error: BaseException | None
    ) -> None:
        """A step has been computed: its result leaves at once, or when the link to the next hop has room for it."""
        if error is not None:
            self._failed(run, error, Code.COMPUTE_FAILED, "the slice could not compute this step")
        else:
            if forward.phase is Phase.DECODE and run.machine.opened.layers == run.slice.layers:
                run.slice.step_us.append(result.trace[-1].compute_us)
            run.tokens += forward.count
            count(self.tally, forward, result)
            if run.next is not None and run.next.crowded:
                # Held back, so that many sessions cannot overflow a link.
                run.job = None
                deliver = partial(self._deliver, run, forward, arrived_ns, result)
                run.draining = self._start(_once_drained(run.next, deliver), f"a full link of {run.id}")
                return
            self._deliver(run, forward, arrived_ns, result)
            return
        self._idle(run)

    def _deliver(self, run: Running, forward: Forward, arrived_ns: int, result: Result) -> None:
        run.machine.deliver(forward, result)
        here_us = (monotonic_ns() - arrived_ns) // 1000
        self.tally.step_sent(here_us)
        overdrawn = self.admission.computed(run.client.peer_id, forward.count, here_us / 1e6)
        if overdrawn is not None:
            run.machine.fail(overdrawn.code, overdrawn.detail)
        self._idle(run)

    def _failed(self, run: Running, error: BaseException, code: Code, detail: str) -> None:
        if isinstance(error, NotFinite):
            code, detail = Code.NOT_FINITE, "the hidden states hold NaN or infinity"
        elif not isinstance(error, SliceError | RuntimeError | MemoryError):
            log.error("session %s: a step failed by a defect of this program", run.id, exc_info=error)
        elif not isinstance(error, ComputeStopped):
            log.warning("session %s: a step failed: %s", run.id, type(error).__name__)
        self.tally.step_failed()
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
                if run.opening is None:
                    self.tally.session_ended(event.code)
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
        if self._sessions.remove(run):
            self.admission.left(run, run.client.peer_id)
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


async def _once_drained(link: Correspondent, then: Callable[[], None]) -> None:
    with contextlib.suppress(LinkClosed):
        await link.drain()
    then()


def _truncate(cache: SliceCache, position: int) -> int:
    """Cut the cache back; returns what it holds, which is less than asked for when the cut overtook its steps."""
    cache.truncate(min(position, cache.length))
    return cache.length
