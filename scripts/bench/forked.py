"""Processes forked from one that has imported torch and the client once, which takes ten seconds of a core.

What they find is told over a pipe, whose messages are pairs of words; one that is killed has told all that it sent.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable, Coroutine
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, Final

_PRELOADED: Final = ("chat.client", "transformers.models.qwen3.modeling_qwen3", "uvloop")
END_TIMEOUT_S: Final = 30.0

Tell = Callable[[str, Any], None]
"""Tells the process that forked this one something: a word, and what belongs to it."""


def run_here(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a forked process, on the loop that programs use, with one thread for torch."""
    from node.slices import threads

    threads.prepare(1)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def context() -> ForkServerContext:
    """What processes are forked from; the environment they see is that of the first call."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()
    return made


class Forked:
    """A process that runs a function, and what it tells."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run `work(tell, *arguments)`; both must be of a module, so that they can be sent there."""
        made = context()
        self._heard, telling = made.Pipe(duplex=False)
        self.process = made.Process(target=_run, args=(telling, work, arguments), daemon=True)
        self.process.start()
        telling.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        if self.process.pid is None:
            raise RuntimeError("the process did not start")
        return self.process.pid

    def heard(self) -> list[tuple[str, Any]]:
        """What it has told since the last time; does not wait."""
        found = []
        try:
            while self._heard.poll():
                found.append(self._heard.recv())
        except EOFError:
            pass
        return found

    def wait_for(self, word: str, timeout_s: float) -> Any:
        """Wait until it tells something; what comes before that is passed over. Raises `RuntimeError`."""
        while self._heard.poll(timeout_s):
            try:
                said, detail = self._heard.recv()
            except EOFError:
                break
            if said == word:
                return detail
        raise RuntimeError(f"a process of the benchmark did not come to tell {word!r}")

    def end(self) -> None:
        """Kill it, if it has not ended. Safe to call twice."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join(END_TIMEOUT_S)


def _run(telling: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(word: str, detail: Any) -> None:
        telling.send((word, detail))

    work(tell, *arguments)


def _end_with_parent() -> None:
    """Whatever becomes of the benchmark, nothing of it stays behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
