"""Whether the program still answers: how late the event loop is, and whether the compute thread comes back.

The loop is measured by a coroutine that sleeps. The compute thread is given a job that does nothing, every few
seconds, and has to return it; a job waits for what was handed over before it. Whether that takes too long is counted
in turns of this watch and not by a clock, so that a process which was stopped and goes on is not taken for a stuck
one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from node.sight.facts import PulseFacts

log = logging.getLogger(__name__)

TURN_S: Final = 1.0
"""How often is looked; that costs some 20 microseconds."""
_LONGEST_TURN_S: Final = 2 * TURN_S
"""What a turn counts for at the most: a longer one was spent stopped, or behind a loop that is told of as late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited before something counts as stuck."""

    stuck_s: float = 120.0
    """For the compute thread. A chunk of a long prompt takes seconds on a slow machine; waiting jobs add theirs."""
    loading_s: float = 3600.0
    """The same while it loads weights, which for a large model from a slow disk is many minutes in one job."""
    late_s: float = 5.0
    """For the event loop, in each of `late_turns` turns in a row: one alone may be a machine that swaps."""
    late_turns: int = 3
    ask_every_s: float = 5.0
    """How often the compute thread is asked."""


class Compute(Protocol):
    """What is needed of the compute thread."""

    @property
    def running(self) -> bool:
        """Whether it takes jobs."""
        ...

    def submit(self, fn: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> object:
        """Run `fn` there, then call `done` on the loop."""
        ...


class Watch:
    """Looks once a second. `healthy` says what is wrong, for `/health` and for systemd's watchdog."""

    def __init__(
        self,
        compute: Compute,
        *,
        loading: Callable[[], bool] = lambda: False,
        patience: Patience | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            loading: whether the compute thread may be loading weights.
            clock: seconds that never go back; the running loop's when None.
        """
        self.pulse = PulseFacts()
        self._compute = compute
        self._loading = loading
        self._patience = patience or Patience()
        self._clock = clock
        self._asked_at: float | None = None
        self._asking = 0
        """Which question is waited for: an answer to an earlier one counts for nothing."""
        self._waited_s = 0.0
        self._rested_s = self._patience.ask_every_s
        self._was_loading = False
        self._late: list[float] = []
        self._said: str | None = None

    def healthy(self) -> str | None:
        """Say what is stuck; None when all is well."""
        patience = self._patience
        allowed_s = patience.loading_s if self._was_loading else patience.stuck_s
        if self._asked_at is not None and self._waited_s > allowed_s:
            return f"the compute thread has not come back for {self._waited_s:.0f} s"
        if len(self._late) == patience.late_turns and min(self._late) > patience.late_s:
            return f"the event loop is late, by {self._late[-1]:.1f} s"
        return None

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(TURN_S)
            self.turn(before, clock())

    def turn(self, before: float, now: float) -> None:
        """Take note of a turn that began at `before`, should have lasted `TURN_S`, and is over."""
        lag_s = max(0.0, now - before - TURN_S)
        self.pulse.loop_lag.observe(lag_s)
        self._late = [*self._late, lag_s][-self._patience.late_turns :]
        self._look_at_compute(min(now - before, _LONGEST_TURN_S), now)
        wrong = self.healthy()
        self.pulse.healthy = wrong is None
        if (wrong is None) != (self._said is None):
            if wrong is None:
                log.warning("event loop and compute thread answer again")
            else:
                log.error("%s", wrong)
            self._said = wrong

    def _look_at_compute(self, elapsed_s: float, now: float) -> None:
        if not self._compute.running:
            self._asked_at = None
            return
        loading = self._loading()
        if loading != self._was_loading:
            # What was waited under the other rule is forgotten: the answer is on its way when a load has ended.
            self._waited_s = 0.0
            self._was_loading = loading
        if self._asked_at is not None:
            self._waited_s += elapsed_s
            return
        self._rested_s += elapsed_s
        if self._rested_s >= self._patience.ask_every_s:
            self._ask(now)

    def _ask(self, now: float) -> None:
        self._asking += 1
        self._asked_at, self._waited_s, self._rested_s = now, 0.0, 0.0
        number = self._asking

        def answered(_result: Any, error: BaseException | None) -> None:
            if number == self._asking and self._asked_at is not None:
                if error is None:
                    self.pulse.compute_wait.observe(self._now() - self._asked_at)
                self._asked_at = None

        self._compute.submit(_nothing, answered)

    def _now(self) -> float:
        return (self._clock or asyncio.get_running_loop().time)()


def _nothing() -> None:
    """The job that only has to come back."""
