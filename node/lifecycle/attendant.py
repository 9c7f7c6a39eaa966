"""One slice's task: gives the machine what happens, one thing after the other, and does what it says.

The task alone touches its `Life`, so commands of several clients come one after the other. It waits for the disk
while an intent is saved, and for nothing else: loading and freeing are tasks of their own, and commands go on
meanwhile. What was saved but not yet adopted when the task was cancelled is a command that was not acknowledged; the
next start may find it either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from node.errors import NodeError
from node.lifecycle.errors import HostStopping, TooMany
from node.lifecycle.following import SliceStatus
from node.lifecycle.happenings import (
    Acknowledge,
    Announce,
    Command,
    Counted,
    Effect,
    Free,
    Freed,
    Happening,
    Intent,
    Load,
    Loaded,
    LoadFailure,
    Moment,
    Save,
    Withdraw,
)
from node.lifecycle.machine import Step
from node.lifecycle.table import FINISHING, FREEING, State
from node.lifecycle.wishes import Wish
from wire.codes import Code

log = logging.getLogger(__name__)

MAX_WAITING: Final = 16
"""Security limit: commands that wait for one slice."""
LOOK_S: Final = 0.1
"""How often sessions are counted while they finish; what it costs is a loop over them."""
FREE_TIMEOUT_S: Final = 30.0
"""For ending sessions and freeing memory: a step under way is waited for, and the longest ones are of whole chunks."""
RETRY_S: Final = 5.0
"""After this, what could not be freed is tried again: it is not stopped before its memory is free."""

T = TypeVar("T")
H = TypeVar("H")
"""A slice that is in memory, whatever that is to the hands."""


class Hands(Protocol[H]):
    """What a host can do with slices; given by the daemon. What is not awaited takes no time and does not raise."""

    async def load(self, wish: Wish, progress: Callable[[float], None]) -> H:
        """Bring a slice here and into memory, without offering it.

        When it fails or is cancelled, it leaves nothing in memory. `progress` takes the part done, from 0 to 1, from
        any thread. Raises `NodeError`.
        """

    async def unload(self, handle: H) -> None:
        """Free its memory. May be cancelled and called again for the same slice. Raises `NodeError`."""

    def offer(self, handle: H) -> None:
        """Announce it and take sessions on it."""

    def withdraw(self, handle: H, code: Code) -> None:
        """Take its record back and refuse new sessions on it with `code`, from now on. Others go on."""

    def sessions(self, handle: H) -> int:
        """How many sessions of it are open, those not counted that lose nothing when they are ended."""

    async def abort(self, handle: H, code: Code) -> int:
        """End the sessions of it that are left with `code`, and wait until they are closed; how many were cut off.

        May be cancelled and called again. Raises `NodeError`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Office(Generic[H]):
    """What the attendants of one process share."""

    hands: Hands[H]
    save: Callable[[Intent], Awaitable[None]]
    """Put on disk for good what was asked. Raises `IntentsUnwritable`."""
    tell: Callable[[SliceStatus], None]
    clock: Callable[[], float]
    """Seconds of a clock that nobody sets."""


class Attendant(Generic[H]):
    """The task of one slice."""

    def __init__(self, begun: Step, office: Office[H]) -> None:
        self.life = begun.life
        self.cut_off = 0
        self.ended = False
        """Whether it takes no commands any more, since nothing of the slice is left here."""
        self._office = office
        self._first = begun.effects
        self._handle: H | None = None
        self._load: asyncio.Task[H] | None = None
        self._freeing: asyncio.Task[None] | None = None
        self._free_with = Code.DRAINING
        self._again_at: float | None = None
        """When to free it again, after that failed."""
        self._fraction = 0.0
        self._loads = 0
        self._signals: deque[Happening] = deque()
        self._commands: deque[tuple[Command, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()

    @property
    def status(self) -> SliceStatus:
        """What the slice does now."""
        life, handle = self.life, self._handle
        finishing = life.state in FINISHING and life.deadline is not None
        return SliceStatus(
            wish=life.wish,
            state=life.state,
            paused_by=life.paused_by,
            chosen=life.chosen,
            fraction=self._fraction if life.state is State.LOADING else None,
            failure=life.failure,
            sessions=0 if handle is None else self._office.hands.sessions(handle),
            grace_left_s=max(0.0, (life.deadline or 0.0) - self._office.clock()) if finishing else None,
            until=life.until,
            cut_off=self.cut_off,
        )

    @property
    def handle(self) -> H | None:
        """The slice, while it is in memory."""
        return self._handle

    async def ask(self, command: Command) -> None:
        """Give a command, and wait until it holds; a caller that is cancelled may find that it holds all the same.

        Raises:
            LifecycleError: the slice's state forbids it, too many commands wait, or it could not be saved.
        """
        if self.ended:
            raise _stopping()
        if len(self._commands) >= MAX_WAITING:
            raise TooMany(f"{MAX_WAITING} commands wait for {self.life.wish.key}", "wait for their answers")
        answer = asyncio.get_running_loop().create_future()
        self._commands.append((command, answer))
        self._wake.set()
        await answer

    def post(self, signal: Happening) -> None:
        """Tell of something that nobody waits for, before all commands that wait."""
        self._signals.append(signal)
        self._wake.set()

    async def run(self) -> None:
        """Attend the slice until nothing of it is left here; when cancelled, free it and end."""
        try:
            self._do(self._first)
            self._tell()
            while not self._over():
                await self._wait()
                await self._turn()
        finally:
            self.ended = True
            await self._clear()

    def _over(self) -> bool:
        gone = self.life.state in (State.LEFT, State.CLOSED)
        return gone and not (self._signals or self._commands)

    async def _wait(self) -> None:
        """Wait for something to do."""
        until = self._again_at
        if self.life.state in FINISHING:
            until = self._office.clock() + LOOK_S
            if self.life.deadline is not None:
                until = min(until, self.life.deadline)
        patience = None if until is None else max(0.0, until - self._office.clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._wake.wait()
        self._wake.clear()

    async def _turn(self) -> None:
        """Take everything that has happened."""
        while self._signals:
            await self._take(self._signals.popleft())
        if self._freeing is not None and self._freeing.done():
            await self._freed(self._freeing)
        elif self.life.state is State.LOADING and self._load is not None and self._load.done():
            await self._loaded(self._load)
        if self._commands:
            await self._obey(*self._commands.popleft())
            self._wake.set()
        if self.life.state in FINISHING and self._handle is not None:
            await self._take(Counted(self._office.hands.sessions(self._handle)))
            await self._take(Moment(self._office.clock()))
        if (
            self.life.state in FREEING
            and self._again_at is not None
            and self._office.clock() >= self._again_at
        ):
            self._free(self._free_with)

    async def _obey(self, command: Command, answer: asyncio.Future[None]) -> None:
        if answer.done():
            return  # Whoever gave it has gone before it was begun.
        try:
            await self._take(command, answer)
        except NodeError as error:
            if not answer.done():
                answer.set_exception(error)
        finally:
            if not answer.done():
                answer.set_exception(
                    _stopping()
                )  # Cancelled while it was saved: it holds after a start, or not.

    async def _take(self, happening: Happening, answer: asyncio.Future[None] | None = None) -> None:
        """Save what must be saved, and only then become what follows. From there on nothing can come in between."""
        before, step = self.life, self.life.after(happening)
        for effect in step.effects:
            if isinstance(effect, Save):
                await self._office.save(effect.intent)
        self.life = step.life
        self._do(step.effects, answer)
        if self.life != before:
            # Why one failed is told to whoever asked for it.
            level = logging.DEBUG if self.life.state is State.FAILED else logging.INFO
            log.log(level, "%s: %s", self.life.wish.key, self.status.word)
            self._tell()

    def _do(self, effects: tuple[Effect, ...], answer: asyncio.Future[None] | None = None) -> None:
        """Do what takes no time, and begin what does."""
        for effect in effects:
            if isinstance(effect, Acknowledge) and answer is not None and not answer.done():
                answer.set_result(None)
            elif isinstance(effect, Announce) and self._handle is not None:
                self._office.hands.offer(self._handle)
            elif isinstance(effect, Withdraw) and self._handle is not None:
                self._office.hands.withdraw(self._handle, effect.code)
            elif isinstance(effect, Load):
                self._load = self._start(self._office.hands.load(effect.wish, self._progress()))
            elif isinstance(effect, Free):
                self._free(effect.code)

    def _free(self, code: Code) -> None:
        self._free_with, self._again_at = code, None
        self._freeing = self._start(self._give_back(code))

    async def _give_back(self, code: Code) -> None:
        """Give up loading, end sessions, free the memory. May be cancelled or fail anywhere, and be done again."""
        async with asyncio.timeout(FREE_TIMEOUT_S):
            if self._load is not None:
                load = self._load
                load.cancel()
                await asyncio.wait({load})
                self._load = None
                if not load.cancelled() and load.exception() is None:
                    self._handle = load.result()  # It was done before it heard that it was given up.
            if self._handle is not None:
                self.cut_off += await self._office.hands.abort(self._handle, code)
                await self._office.hands.unload(self._handle)
                self._handle = None

    async def _loaded(self, load: asyncio.Task[H]) -> None:
        self._load = None
        error = None if load.cancelled() else load.exception()
        if load.cancelled():
            await self._take(LoadFailure("loading it was given up", "join it again"))
        elif error is not None:
            await self._take(self._failure(error))
        else:
            self._handle = load.result()
            await self._take(Loaded())

    def _failure(self, error: BaseException) -> LoadFailure:
        if isinstance(error, NodeError):
            return LoadFailure(error.cause, error.next_step)
        if isinstance(error, MemoryError):
            return LoadFailure(
                "there is not enough memory", "join fewer layers, or keep their weights in fewer bits"
            )
        log.error("%s: loading ended by a defect of this program", self.life.wish.key, exc_info=error)
        return LoadFailure("loading ended by a defect of this program", "look for the reason in the log")

    async def _freed(self, freeing: asyncio.Task[None]) -> None:
        self._freeing = None
        error = None if freeing.cancelled() else freeing.exception()
        if error is None and not freeing.cancelled():
            await self._take(Freed())
            return
        log.error(
            "%s: its memory could not be freed; trying again in %g s",
            self.life.wish.key,
            RETRY_S,
            exc_info=error,
        )
        self._again_at = self._office.clock() + RETRY_S

    async def _clear(self) -> None:
        """End whatever is left, when the task does."""
        for _, answer in self._commands:
            if not answer.done():
                answer.set_exception(_stopping())
        self._commands.clear()
        if self._freeing is not None:
            self._freeing.cancel()
            await asyncio.wait({self._freeing}, timeout=FREE_TIMEOUT_S)
        if self._handle is not None:
            self._office.hands.withdraw(self._handle, Code.SHUTTING_DOWN)
        try:
            await self._give_back(Code.SHUTTING_DOWN)
        except (NodeError, TimeoutError) as error:
            reason = str(error) or "it took too long"
            log.error("%s: its memory could not be freed: %s", self.life.wish.key, reason)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task whose failure is a fact to be looked at and not one to spread, as in a group it would."""
        task = asyncio.create_task(work, name=f"slice {self.life.wish.key}")
        task.add_done_callback(lambda _: self._wake.set())
        return task

    def _progress(self) -> Callable[[float], None]:
        """What the hands tell a load's progress to, on any thread; only whole percents are passed on."""
        loop = asyncio.get_running_loop()
        self._fraction = 0.0
        self._loads += 1
        number, told = self._loads, 0

        def progress(fraction: float) -> None:
            nonlocal told
            percent = int(100 * fraction) if 0 <= fraction <= 1 else told
            if percent != told:
                told = percent
                with contextlib.suppress(RuntimeError):  # The loop has ended before the thread.
                    loop.call_soon_threadsafe(self._at, number, percent / 100)

        return progress

    def _at(self, number: int, fraction: float) -> None:
        if number == self._loads and self.life.state is State.LOADING:
            self._fraction = fraction
            self._tell()

    def _tell(self) -> None:
        self._office.tell(self.status)


def _stopping() -> HostStopping:
    return HostStopping("the host is stopping", "start it again, and ask then")
