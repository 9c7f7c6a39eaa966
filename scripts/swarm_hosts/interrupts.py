"""Ctrl-C, SIGTERM and SIGHUP as one cancellation of the command, then as haste. Signals act only between two awaits,
so nothing that is started can be missed by what stops it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """What the signals of one command have asked for."""

    def __init__(self) -> None:
        """Listen, on behalf of the current task. A signal that is ignored already (nohup) stays ignored."""
        self.received: signal.Signals | None = None
        """The first one."""
        self.hurry = asyncio.Event()
        """Set by the second one, or by the first once the command is at its end anyway."""
        self._task = asyncio.current_task()
        self._finishing = False
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._arrived, number)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what must be run to its end: a signal makes it hurry and never cancels it."""
        self._finishing = True
        task = asyncio.ensure_future(work)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                continue
        return task.result()

    def _arrived(self, number: signal.Signals) -> None:
        if self.received is not None or self._finishing:
            self.hurry.set()
        self.received = self.received or number
        if not self._finishing and self._task is not None:
            self._task.cancel()
