"""The one thread that touches torch: it loads weights and runs every forward, so that one libgomp pool exists.

The event loop hands it functions and is called back, or awaits their results. A job that is dropped before it began
never runs; one that runs is finished, since a forward cannot be stopped half way. A job costs two hand-overs between
threads and nothing else: no future, no task.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from node.slices import threads
from node.slices.errors import ComputeStopped

P = ParamSpec("P")
R = TypeVar("R")

Done = Callable[[Any, BaseException | None], None]
"""Called on the loop's thread, once, with what the function returned, or with what it raised."""


class Job:
    """One function handed to the thread."""

    __slots__ = ("_done", "_error", "_fn", "_result", "_thread", "_waits")

    def __init__(self, thread: ComputeThread, fn: Callable[[], Any], done: Done) -> None:
        self._thread = thread
        self._fn = fn
        self._done = done
        self._waits = True
        self._result: Any = None
        self._error: BaseException | None = None

    def drop(self) -> None:
        """Nobody wants the result: if the function has not begun it never runs, and `done` gets `ComputeStopped`."""
        if self._waits:
            self._waits = False
            self._thread.settled()

    def compute(self) -> None:
        """Run the function; on the compute thread."""
        if not self._waits:
            self._error = ComputeStopped("dropped before it began")
            return
        try:
            self._result = self._fn()
        except BaseException as error:  # noqa: BLE001 - whoever handed it over decides, also about SystemExit
            self._error = error

    def stopped(self) -> None:
        """The thread ends before the function began; on the loop's thread."""
        self._error = ComputeStopped("the compute thread stopped before this ran")
        self.finish()

    def finish(self) -> None:
        """Tell the owner; on the loop's thread."""
        self.drop()
        result, error = self._result, self._error
        # Whoever gave it up may hold it for a while yet, and an error leads to all that its frames held.
        self._result = self._error = None
        self._done(result, error)


class ComputeThread:
    """Runs functions on one thread, in the order they came."""

    def __init__(self, num_threads: int | None = None) -> None:
        """`num_threads` is how many cores torch may use from this one thread; None decides (`threads.choose`)."""
        self._num_threads = num_threads
        self._thread: threading.Thread | None = None
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting = 0

    @property
    def running(self) -> bool:
        """Whether functions are accepted."""
        return self._thread is not None

    @property
    def waiting(self) -> int:
        """Functions that have been handed over and have not returned: the depth of the queue."""
        return self._waiting

    def start(self) -> None:
        """Begin to accept functions. torch is imported by the first of them, on the thread."""
        if self._thread is None:
            threads.prepare(self._num_threads)
            self._jobs = SimpleQueue()
            work = partial(_work, self._jobs, asyncio.get_running_loop())
            # A daemon, so that a program which ends without `stop` does end.
            self._thread = threading.Thread(target=work, name="lamella-compute", daemon=True)
            self._thread.start()

    def submit(self, fn: Callable[[], Any], done: Done) -> Job:
        """Hand over `fn`; `done` is called from the loop when it has run.

        When the job is dropped, or the thread stops, before `fn` began, `done` gets `ComputeStopped`.

        Raises:
            ComputeStopped: the thread is not running.
        """
        if self._thread is None:
            raise ComputeStopped("the compute thread is not running")
        job = Job(self, fn, done)
        self._waiting += 1
        self._jobs.put(job)
        return job

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on the compute thread and return what it returns, or raise what it raises.

        Raises:
            ComputeStopped: the thread was not started, or stopped before `fn` began.
        """
        returned: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def done(result: R, error: BaseException | None) -> None:
            if returned.done():
                return
            if error is not None:
                returned.set_exception(error)
            else:
                returned.set_result(result)

        job = self.submit(partial(fn, *args, **kwargs), done)
        try:
            return await returned
        finally:
            job.drop()

    async def stop(self) -> None:
        """Drop what has not begun, wait for what has, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        for job in _waiting(self._jobs):
            job.stopped()
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)

    def settled(self) -> None:
        """One job less waits; called by the job."""
        self._waiting -= 1


def _waiting(jobs: SimpleQueue[Job | None]) -> list[Job]:
    """Take out all jobs that have not begun."""
    taken = []
    while not jobs.empty():
        job = jobs.get_nowait()
        if job is not None:
            taken.append(job)
    return taken


def _work(jobs: SimpleQueue[Job | None], loop: asyncio.AbstractEventLoop) -> None:
    """What the thread does until it is told to stop."""
    threads.apply()
    while (job := jobs.get()) is not None:
        job.compute()
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody is left to tell.
            loop.call_soon_threadsafe(job.finish)
        # A job holds tensors, and the next one may be long in coming.
        del job
