"""Keeps the parts of one process running: what fails is started again, and the others do not notice.

A part is a coroutine that runs until it is cancelled. One that fails is started again after a pause that doubles with
each failure; one that fails too often within a while ends the process, since a host that can no longer be reached, or
no longer computes, is better started afresh by whoever watches it. A part that returns has done what it was for.

Every part runs in a task of its own that is waited for, so what ends it is a result to look at and is never caught: a
cancellation of ours is told from a failure of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from node.errors import NodeError

log = logging.getLogger(__name__)

END_TIMEOUT_S: Final = 5.0
"""What a part may take to end once it is cancelled, before it is left behind."""
MAX_KNOWN_DEFECTS: Final = 64
"""Defects whose traceback was logged and is not logged again; when there are more, all are new once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that is to run as long as the process does."""

    name: str
    """For the log and for status."""
    run: Callable[[], Coroutine[Any, Any, None]]
    """Called for every start; a start must not need what the one before left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartTerms:
    """How often and how soon a part is started again."""

    first_pause_s: float = 0.5
    most_pause_s: float = 30.0
    failures: int = 6
    """So many within `window_s`, and the process ends."""
    window_s: float = 300.0
    """A part that ran for as long as this without a failure begins anew with the shortest pause."""


class PartState(Enum):
    """What a part does."""

    RUNNING = "running"
    RESTARTING = "restarting"
    """It failed, and is started again soon."""
    DONE = "done"
    """It returned."""
    FAILED = "failed"
    """It failed too often, and the process ends."""
    STOPPED = "stopped"
    """It was told to end, or never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """A part at one moment, for people."""

    name: str
    state: PartState
    failures: int
    """Since the process began."""
    trouble: str
    """What ended it the last time: the cause of an error that is for people, else only the kind of error."""


class PartGaveUp(NodeError):
    """A part failed too often; the error that ended it at last is the cause of this one."""

    def __init__(self, part: str, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.part = part


class Supervisor:
    """Runs parts. Made once for a process; `run` is called once."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        terms: RestartTerms | None = None,
        on_change: Callable[[PartStatus], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make ready to run `parts`, whose names differ.

        Args:
            on_change: told of every change of a state; must not raise.
            clock: seconds, of a clock that nobody sets.
        """
        self._terms = terms or RestartTerms()
        self._clock = clock
        self._on_change = on_change
        self._tended = {part.name: _Tended(part) for part in parts}
        if len(self._tended) != len(parts):
            raise ValueError("two parts have one name")
        self._known_defects: set[tuple[str, str]] = set()
        self._over = asyncio.Event()
        self._gave_up: PartGaveUp | None = None
        self._left_behind: set[asyncio.Task[None]] = set()

    def status(self) -> tuple[PartStatus, ...]:
        """Return what all parts do now, in the order they were named in."""
        return tuple(one.status for one in self._tended.values())

    async def run(self) -> None:
        """Run all parts until all have returned, or until cancelled; then none runs any more.

        Raises:
            PartGaveUp: a part failed too often.
        """
        async with asyncio.TaskGroup() as group:
            tending = [
                group.create_task(self._tend(one), name=f"tending {one.part.name}")
                for one in self._tended.values()
            ]
            ended = group.create_task(self._over.wait())
            await asyncio.wait([ended, group.create_task(_all(tending))], return_when=asyncio.FIRST_COMPLETED)
            for task in (*tending, ended):
                task.cancel()
        if self._gave_up is not None:
            raise self._gave_up from self._gave_up.__cause__

    async def _tend(self, one: _Tended) -> None:
        """Run one part, again and again."""
        try:
            while True:
                self._now(one, PartState.RUNNING)
                began = self._clock()
                error = await self._once(one.part)
                if error is None:
                    self._now(one, PartState.DONE)
                    return
                self._note(one, error, self._clock() - began)
                if len(one.recent) >= self._terms.failures:
                    self._give_up(one, error)
                    return
                self._now(one, PartState.RESTARTING)
                await asyncio.sleep(self._pause_s(one))
        finally:
            if one.status.state in (PartState.RUNNING, PartState.RESTARTING):
                self._now(one, PartState.STOPPED)

    async def _once(self, part: Part) -> BaseException | None:
        """Run a part until it ends; return what ended it, None when it returned.

        Not in the group: a group waits for ever for a task that does not let itself be cancelled.
        """
        task = asyncio.ensure_future(part.run())
        task.set_name(f"part {part.name}")
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await self._let_end(part, task)
        return asyncio.CancelledError("it cancelled itself") if task.cancelled() else task.exception()

    async def _let_end(self, part: Part, task: asyncio.Task[None]) -> None:
        """Wait for a part that was cancelled, but not for ever."""
        _, late = await asyncio.wait({task}, timeout=END_TIMEOUT_S)
        if late:
            log.error("%s does not end when it is told to, and is left behind", part.name)
            self._left_behind.add(task)
            task.add_done_callback(self._left_behind.discard)
        elif not task.cancelled() and (error := task.exception()) is not None:
            self._report(part.name, "failed while it ended", error)

    def _note(self, one: _Tended, error: BaseException, ran_s: float) -> None:
        """Count a failure, and log it."""
        now = self._clock()
        if ran_s >= self._terms.window_s:
            one.recent.clear()
        one.recent.append(now)
        while one.recent[0] <= now - self._terms.window_s:
            one.recent.popleft()
        one.status = PartStatus(
            name=one.part.name,
            state=one.status.state,
            failures=one.status.failures + 1,
            trouble=error.cause if isinstance(error, NodeError) else type(error).__name__,
        )
        self._report(one.part.name, "failed", error)

    def _report(self, name: str, what: str, error: BaseException) -> None:
        """Log an error: one for people in its words, a defect with its traceback the first time."""
        if isinstance(error, NodeError):
            log.error("%s %s: %s", name, what, error)
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        defect = type(error).__name__, place
        if defect in self._known_defects:
            log.error("%s %s again by the defect at %s (%s)", name, what, place, defect[0])
            return
        if len(self._known_defects) >= MAX_KNOWN_DEFECTS:
            self._known_defects.clear()
        self._known_defects.add(defect)
        log.error("%s %s by a defect of this program", name, what, exc_info=error)

    def _pause_s(self, one: _Tended) -> float:
        doubled = self._terms.first_pause_s * 2.0 ** min(30, len(one.recent) - 1)
        return min(self._terms.most_pause_s, doubled)

    def _give_up(self, one: _Tended, error: BaseException) -> None:
        self._now(one, PartState.FAILED)
        if self._gave_up is None:
            self._gave_up = PartGaveUp(
                one.part.name,
                f"{one.part.name} failed {len(one.recent)} times within {self._terms.window_s:g} s, "
                f"at last with: {one.status.trouble}",
                error.next_step
                if isinstance(error, NodeError)
                else "look in the log for the first failure, report it, and start the host again",
            )
            self._gave_up.__cause__ = error
        self._over.set()

    def _now(self, one: _Tended, state: PartState) -> None:
        before = one.status
        if before.state is not state or state is PartState.RUNNING:
            one.status = PartStatus(
                name=before.name, state=state, failures=before.failures, trouble=before.trouble
            )
            self._on_change(one.status)


class _Tended:
    """A part and how it fared."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.recent: deque[float] = deque()
        """When it failed, within the window."""
        self.status = PartStatus(name=part.name, state=PartState.STOPPED, failures=0, trouble="")


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)
