"""The one thread that touches torch: it loads weights and runs every forward, so that one libgomp pool exists.

The event loop hands it functions and awaits their results. A cancelled caller's job is dropped when it has not
begun; a job that runs is finished, since a forward cannot be stopped half way, and its result is discarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from node.slices import threads
from node.slices.errors import ComputeStopped

P = ParamSpec("P")
R = TypeVar("R")


class ComputeThread:
    """Runs functions on one thread, in the order they came."""

    def __init__(self, num_threads: int | None = None) -> None:
        """`num_threads` is how many cores torch may use from this one thread; None decides (`threads.choose`)."""
        self._num_threads = num_threads
        self._executor: ThreadPoolExecutor | None = None
        self._waiting = 0

    @property
    def running(self) -> bool:
        """Whether functions are accepted."""
        return self._executor is not None

    @property
    def waiting(self) -> int:
        """Functions that have been handed over and have not returned: the depth of the queue."""
        return self._waiting

    def start(self) -> None:
        """Begin to accept functions. torch is imported by the first of them, on the thread."""
        if self._executor is None:
            threads.prepare(self._num_threads)
            self._executor = ThreadPoolExecutor(
                1, thread_name_prefix="lamella-compute", initializer=threads.apply
            )

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on the compute thread and return what it returns, or raise what it raises.

        Raises:
            ComputeStopped: the thread was not started, or stopped before `fn` began.
        """
        if self._executor is None:
            raise ComputeStopped("the compute thread is not running")
        job = self._executor.submit(partial(fn, *args, **kwargs))
        self._waiting += 1
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.running and (task is None or not task.cancelling()):
                raise ComputeStopped("the compute thread stopped before this ran") from None
            raise
        finally:
            self._waiting -= 1

    async def stop(self) -> None:
        """Drop what has not begun, wait for what has, and end the thread."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(executor.shutdown)
