"""One session as its host holds it: the machine, whom it speaks with, its memory and the job under way."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from node.correspondents import Correspondent
from node.hosting import HostedSlice
from node.slices.cache import SliceCache
from node.slices.compute import Job
from node.slices.engine import Ticket
from wire.session import CutRequested, HostedSession, StepArrived
from wire.types import SessionId

_IDLE_AFTER_S: Final = 0.5
"""A session without a step this long does nothing now."""
BETWEEN_STEPS_S: Final = 15.0
"""A session without a step this long is between two answers. Between two steps of one answer all other hops compute
and the client draws, which takes seconds where a machine is slow or busy, and longer for a part of a long prompt."""


@dataclass(slots=True, eq=False)
class Running:
    """One session and what it holds; its own key, since a client may use an id again as soon as it is free."""

    machine: HostedSession
    client: Correspondent
    """The very link it was opened over: of several processes of one identity, only that one knows the session."""
    slice: HostedSlice
    work: deque[tuple[StepArrived | CutRequested, int]] = field(default_factory=deque)
    """What waits for the job under way; never more than a window of steps and a cut."""
    upstream: Correspondent | None = None
    """Where its steps come from, and so where credit goes."""
    next: Correspondent | None = None
    cache: SliceCache | None = None
    opening: asyncio.Task[None] | None = None
    busy: bool = False
    """A step or a cut is under way: queued, computed, or waiting for room on the link to the next hop."""
    job: Job | Ticket | None = None
    draining: asyncio.Task[None] | None = None
    """Waits until the link to the next hop has room for a result."""
    tokens: int = 0
    """Tokens computed for it."""
    last_step_s: float = field(default_factory=monotonic)
    ended: bool = False

    @property
    def id(self) -> SessionId:
        return self.machine.opened.session

    @property
    def is_active(self) -> bool:
        """Whether a step is under way, or was a moment ago."""
        return self.busy or bool(self.work) or monotonic() - self.last_step_s < _IDLE_AFTER_S

    @property
    def may_go_on(self) -> bool:
        """Whether the answer that its latest step was of may not be over yet, so that ending it could lose tokens."""
        return self.busy or bool(self.work) or monotonic() - self.last_step_s < BETWEEN_STEPS_S
