"""All slices of one process: what people ask of them, told to the attendant of each. The surface of this package.

    async with Keeper(hands, IntentFile(path)) as keeper:
        await keeper.recover(configured)          begins to load what is to be served
        async for status in keeper.join(wish):    ends when it serves
            ...
        await keeper.stop(budget_s)               the first signal; `keeper.now()` is the second

What is awaited returns when the command holds and is on disk; what comes of it is told by `watch`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Generic, Self

from node.lifecycle.attendant import FREE_TIMEOUT_S, Attendant, H, Hands, Office
from node.lifecycle.errors import (
    HostStarting,
    HostStopping,
    IntentsDamaged,
    LoadFailed,
    NotHeld,
    OutOfBounds,
    Overtaken,
    TooMany,
)
from node.lifecycle.following import SliceStatus, Watchers, until_rest
from node.lifecycle.happenings import (
    Aim,
    Asker,
    Close,
    Drain,
    Halt,
    Intent,
    Join,
    Leave,
    LoadFailure,
    Pause,
    Pauser,
    Resume,
    Undrain,
)
from node.lifecycle.intents import IntentFile
from node.lifecycle.machine import Life, Step, revived
from node.lifecycle.recovery import Recovery, all_drained, merged, summed
from node.lifecycle.saving import Saving
from node.lifecycle.table import AT_REST, Input, State
from node.lifecycle.wishes import SliceKey, Wish

log = logging.getLogger(__name__)

MAX_SLICES: Final = 64
"""Of one host. Each has its buffers and a record to announce; who has more to give starts another host."""
MAX_GRACE_S: Final = 24 * 3600.0
"""Longer than any answer, so that a mistyped grace does not hold a machine for a year."""
RECOVER_TIMEOUT_S: Final = 30.0
"""How long commands wait for a host that has just begun; its ports are opened before."""


class Keeper(Generic[H]):
    """Keeps the slices of one process. Used as a context, whose end cuts off what `stop` did not end."""

    def __init__(
        self,
        hands: Hands[H],
        file: IntentFile,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing.

        Args:
            clock: seconds, of a clock that nobody sets.
            wall: Unix time, for what is told to people.
        """
        self._file = file
        self._saving = Saving(file)
        self._clock = clock
        self._wall = wall
        self._watchers = Watchers()
        self._office = Office(hands=hands, save=self._save, tell=self._watchers.tell, clock=clock)
        self._group = asyncio.TaskGroup()
        self._attendants: dict[SliceKey, Attendant[H]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._configured: frozenset[SliceKey] = frozenset()
        self._held_back: frozenset[Pauser] = frozenset()
        self._recovered = asyncio.Event()
        self._stopping = False
        self._hurry = asyncio.Event()
        self._cut_off = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        # Not told of the error: a group would wrap it, and who runs this host is to read it as it is.
        await self._group.__aexit__(None, None, None)
        await self._saving.close()

    async def recover(self, configured: Sequence[Wish]) -> Recovery:
        """Begin to load what the configuration names and what was asked before; once, before any command.

        Returns: What was found, and `trouble` when everything counts as drained since the file is damaged.

        Raises:
            IntentsUnreadable: it cannot be known what was asked.
            IntentsUnwritable: a damaged file cannot be replaced.
            TooMany: the configuration names more slices than a host holds.
        """
        self._configured = frozenset(one.key for one in configured)
        trouble: IntentsDamaged | None = None
        try:
            asked = await asyncio.to_thread(self._file.load)
            intents = merged(configured, asked)
        except IntentsDamaged as error:
            log.error("%s", error)
            trouble, asked, intents = error, (), all_drained(configured)
        if len(intents) > MAX_SLICES:
            raise _too_many()
        if trouble is not None:
            await asyncio.to_thread(self._file.start_over, intents)
        wanted = {one.wish.key for one in intents}
        for one in asked:
            if one.wish.key not in wanted:
                await asyncio.to_thread(self._file.put, one.wish.key, None)
        for one in intents:
            if one.aim is not Aim.LEFT:
                self._attend(revived(one, paused_by=self._held_back))
        self._recovered.set()
        return summed(intents, trouble)

    async def recovered(self) -> None:
        """Wait until what was asked before is known; until then commands are refused. Raises `HostStarting`."""
        try:
            async with asyncio.timeout(RECOVER_TIMEOUT_S):
                await self._recovered.wait()
        except TimeoutError as error:
            raise _starting() from error

    async def join(self, wish: Wish, *, chosen: bool = False) -> AsyncGenerator[SliceStatus, None]:
        """Have a slice served: the first status comes when that is on disk, the last when it serves, or is paused.

        Whoever stops iterating stops watching, and no more. A slice that could not be loaded stays wanted.

        Args:
            chosen: by the host itself, so that the next start knows only of what people said of it: drained, paused.

        Raises:
            LoadFailed: it could not be brought or loaded.
            Overtaken: it was drained, left or stopped meanwhile.
            StillDraining: it is to drain, and has to be undrained.
            HeldOtherwise, HostStopping, TooMany, IntentsUnwritable
        """
        self._check_open()
        attendant = self._present(wish.key)
        if attendant is None and len(self._attendants) >= MAX_SLICES:
            raise _too_many()
        watcher = self._watchers.add(wish.key)
        try:
            if attendant is None:
                attendant = self._attend(Step(life=Life(wish=wish, paused_by=self._held_back), effects=()))
            await attendant.ask(Join(wish, Asker.HOST if chosen else Asker.PERSON))
            async for status in until_rest(attendant.status, watcher):
                yield status
        finally:
            self._watchers.remove(watcher)
        if status.state is State.FAILED and status.failure is not None:
            raise LoadFailed(status.failure.cause, status.failure.next_step)
        if status.state is not State.SERVING:
            raise Overtaken(
                f"{wish.key} is {status.word} now", "find out who asked for that, then join it again"
            )

    async def again(self, key: SliceKey) -> None:
        """Load a slice that could not be loaded. Raises: NotHeld, StillDraining, HostStopping, TooMany, ..."""
        attendant = self._of(key)
        await attendant.ask(Join(attendant.life.wish, Asker.NOBODY))

    async def leave(self, key: SliceKey, grace_s: float) -> None:
        """Stop serving a slice and forget it, whatever the configuration says; its sessions may end within the grace.

        Raises: NotHeld, HostStopping, OutOfBounds, TooMany, IntentsUnwritable
        """
        deadline, until = self._granted(grace_s)
        await self._of(key).ask(Leave(deadline=deadline, until=until))

    async def drain(self, key: SliceKey | None, grace_s: float) -> None:
        """Stop serving a slice, or all that are held now, until undrained; their sessions may end within the grace.

        Raises: NotHeld, BeingLeft, HostStopping, OutOfBounds, TooMany, IntentsUnwritable
        """
        deadline, until = self._granted(grace_s)
        for one in self._chosen(key, Input.DRAIN):
            await one.ask(Drain(deadline=deadline, until=until))

    async def undrain(self, key: SliceKey | None) -> None:
        """Serve a drained slice again, or all: at once while it is still loaded, else by loading it.

        Raises: NotHeld, BeingLeft, HostStopping, TooMany, IntentsUnwritable
        """
        for one in self._chosen(key, Input.UNDRAIN):
            await one.ask(Undrain())

    async def pause(self, key: SliceKey | None) -> None:
        """Announce a slice no more, or all that are held now, and refuse new sessions; restarts included.

        Sessions go on and memory stays. Raises: NotHeld, BeingLeft, HostStopping, TooMany, IntentsUnwritable
        """
        for one in self._chosen(key, Input.PAUSE, but=Aim.LEFT):
            await one.ask(Pause(Pauser.PERSON))

    async def resume(self, key: SliceKey | None) -> None:
        """Undo `pause`; what the machine holds back stays so.

        Raises: NotHeld, HostStopping, TooMany, IntentsUnwritable
        """
        for one in self._chosen(key, Input.RESUME, but=Aim.LEFT):
            await one.ask(Resume(Pauser.PERSON))

    async def hold_back(self, held: bool) -> None:
        """Pause all slices, those to come included, for what this machine is at: its hours, its battery, other work.

        Nothing of it is on disk, and what a person paused stays paused. Raises: HostStopping, TooMany
        """
        self._held_back = frozenset({Pauser.MACHINE}) if held else frozenset()
        if not (self._recovered.is_set() or self._stopping):
            return
        change = Pause(Pauser.MACHINE) if held else Resume(Pauser.MACHINE)
        for one in self._chosen(None, Input.PAUSE):
            await one.ask(change)

    async def watch(self, key: SliceKey) -> AsyncGenerator[SliceStatus, None]:
        """Tell of a slice until it is at rest: serving, stopped, left, failed, closed. Raises `NotHeld`, `TooMany`."""
        attendant = self._of(key)
        watcher = self._watchers.add(key)
        try:
            async for status in until_rest(attendant.status, watcher):
                yield status
        finally:
            self._watchers.remove(watcher)

    async def follow(self) -> AsyncGenerator[SliceStatus, None]:
        """Tell of all slices, as they are and then whatever changes, for as long as one listens. Raises `TooMany`."""
        watcher = self._watchers.add(None)
        try:
            for one in self.status():
                yield one
            while True:
                yield await watcher.next()
        finally:
            self._watchers.remove(watcher)

    def status(self) -> tuple[SliceStatus, ...]:
        """Return what all slices do now."""
        return tuple(one.status for one in self._attendants.values())

    def handles(self) -> Mapping[SliceKey, H]:
        """Return the slices that are in memory."""
        held = {key: one.handle for key, one in self._attendants.items()}
        return {key: handle for key, handle in held.items() if handle is not None}

    async def settled(self) -> None:
        """Wait, for as long as the caller lets it, until every slice is at rest."""
        watcher = self._watchers.add(None)
        try:
            while any(one.life.state not in AT_REST for one in self._attendants.values()):
                await watcher.next()
        finally:
            self._watchers.remove(watcher)

    async def stop(self, budget_s: float) -> int:
        """End everything, sessions within the budget; what was asked of slices stays as it is for the next start.

        Returns: How many answers were cut off since the process began.
        """
        self._stopping = True
        deadline = self._clock() + budget_s
        for one in self._attendants.values():
            one.post(Close(deadline))
        tasks = set(self._tasks)
        if tasks:
            await self._ended_or_hurried(tasks, budget_s)
            _, late = await asyncio.wait(tasks, timeout=FREE_TIMEOUT_S)
            for task in late:
                log.error("%s does not end, and is cut off", task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=FREE_TIMEOUT_S)
        return self._cut_off

    def now(self) -> None:
        """End all sessions at once: the second signal. `stop`, which is under way, returns when that is done."""
        self._stopping = True
        self._hurry.set()
        for one in self._attendants.values():
            one.post(Halt())

    async def _ended_or_hurried(self, tasks: set[asyncio.Task[None]], budget_s: float) -> None:
        waits = {asyncio.create_task(asyncio.wait(tasks)), asyncio.create_task(self._hurry.wait())}
        try:
            await asyncio.wait(waits, timeout=max(0.0, budget_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.wait(waits)

    def _attend(self, begun: Step) -> Attendant[H]:
        attendant = Attendant(begun, self._office)
        self._attendants[begun.life.wish.key] = attendant
        task = self._group.create_task(self._tend(attendant), name=f"attendant of {begun.life.wish.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return attendant

    async def _tend(self, attendant: Attendant[H]) -> None:
        """Run one attendant; what ends it is its own affair, and no other slice's."""
        running = asyncio.create_task(attendant.run(), name=f"slice {attendant.life.wish.key}")
        try:
            await asyncio.wait({running})
        finally:
            running.cancel()
            await asyncio.wait({running})
            if self._attendants.get(attendant.life.wish.key) is attendant:
                del self._attendants[attendant.life.wish.key]
            self._cut_off += attendant.cut_off
            error = None if running.cancelled() else running.exception()
            if error is not None:
                log.error("%s ended by a defect of this program", attendant.life.wish.key, exc_info=error)
                why = LoadFailure(
                    "it ended by a defect of this program", "look in the log, then join it again"
                )
                self._watchers.tell(replace(attendant.status, state=State.FAILED, failure=why))
            elif attendant.life.state not in (State.LEFT, State.CLOSED):
                self._watchers.tell(replace(attendant.status, state=State.CLOSED))

    async def _save(self, intent: Intent) -> None:
        key = intent.wish.key
        forgotten = intent.aim is Aim.LEFT and key not in self._configured
        await self._saving.put(key, None if forgotten else intent)

    def _of(self, key: SliceKey) -> Attendant[H]:
        self._check_open()
        attendant = self._present(key)
        if attendant is None:
            raise NotHeld(f"{key} is not held here", "join it first")
        return attendant

    def _present(self, key: SliceKey) -> Attendant[H] | None:
        attendant = self._attendants.get(key)
        return None if attendant is None or attendant.ended else attendant

    def _chosen(self, key: SliceKey | None, what: Input, *, but: Aim | None = None) -> list[Attendant[H]]:
        """The slice that was named, whether it can or not; else all that can."""
        if key is not None:
            return [self._of(key)]
        self._check_open()
        there = [one for one in self._attendants.values() if not one.ended]
        return [one for one in there if one.life.allows(what) and one.life.aim is not but]

    def _check_open(self) -> None:
        if self._stopping:
            raise HostStopping("the host is stopping", "start it again, and ask then")
        if not self._recovered.is_set():
            # What is saved before what was asked is read would stand in its place.
            raise _starting()

    def _granted(self, grace_s: float) -> tuple[float, float]:
        """The end of a grace that begins now, by both clocks."""
        if not (math.isfinite(grace_s) and 0 <= grace_s <= MAX_GRACE_S):
            raise OutOfBounds(
                f"a grace of {grace_s:g} s cannot be given", f"give one of 0 to {MAX_GRACE_S:g} s"
            )
        return self._clock() + grace_s, self._wall() + grace_s


def _starting() -> HostStarting:
    return HostStarting("the host has not read yet what was asked of it before", "ask again in a moment")


def _too_many() -> TooMany:
    return TooMany(f"a host holds up to {MAX_SLICES} slices", "leave one first, or start another host")
