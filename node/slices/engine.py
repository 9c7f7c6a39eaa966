"""Decides which sessions compute next, and computes them together: one engine a process, on its one compute thread.

A turn of the compute thread is either one token of every session that has one waiting, or one chunk of one prompt; when
both wait they alternate, so a token waits for one chunk at most. There is no lockstep: a session whose token comes
later is in the next turn. Chunks are taken from one peer after the other, so a peer with many prompts delays its own.
A session has at most one piece of work here, which bounds the queue by the number of sessions.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from typing import Any, Final, Protocol

import torch

from node.slices.compute import ComputeThread, Done
from node.slices.errors import ComputeStopped, SliceError
from node.slices.slice import Slice
from node.slices.together import Step

MOST_TOGETHER: Final = 32
"""Sessions in one forward: beyond this a turn takes so long that those that wait would notice."""


class Work(Protocol):
    """One step of one session. Called on the compute thread."""

    @property
    def slice(self) -> Slice:
        """What it runs on."""
        ...

    def begin(self) -> Step:
        """Read the input. Whatever it raises is the work's result."""
        ...

    def finish(self, result: torch.Tensor) -> Any:
        """Make the answer of what the slice returned."""
        ...


class Ticket:
    """Work that was handed over."""

    __slots__ = ("answer", "done", "dropped", "error", "work")

    def __init__(self, work: Work, done: Done) -> None:
        self.work = work
        self.done = done
        self.dropped = False
        self.answer: Any = None
        self.error: BaseException | None = None

    def drop(self) -> None:
        """Nobody wants the result; work that has not begun never does, and `done` gets `ComputeStopped`."""
        self.dropped = True

    def begin(self) -> Step | None:
        """The step to compute; None when there is none, and `error` says why."""
        if self.dropped:
            self.error = ComputeStopped("dropped before it began")
            return None
        try:
            return self.work.begin()
        except Exception as error:  # noqa: BLE001 - kept for whoever awaits the answer
            self.error = error
        return None

    def finish(self, result: torch.Tensor | SliceError) -> None:
        """Make the answer of what the slice returned."""
        if isinstance(result, SliceError):
            self.error = result
            return
        try:
            self.answer = self.work.finish(result)
        except Exception as error:  # noqa: BLE001 - kept for whoever awaits the answer
            self.error = error


class StepEngine:
    """The queue in front of the compute thread."""

    def __init__(self, compute: ComputeThread) -> None:
        self._compute = compute
        self._tokens: deque[Ticket] = deque()
        self._chunks: OrderedDict[Hashable, deque[Ticket]] = OrderedDict()
        """By peer; the peer whose turn is next stands first."""
        self._queues = threading.Lock()
        self._token_turn = True
        self._running = False

    @property
    def waiting(self) -> int:
        """Steps that have not begun."""
        with self._queues:
            return len(self._tokens) + sum(len(queue) for queue in self._chunks.values())

    def submit(self, work: Work, done: Done, *, peer: Hashable, is_token: bool) -> Ticket:
        """Hand over a step; `done` is called from the loop with its answer or error.

        Args:
            peer: on whose behalf, for fairness.
            is_token: whether it is a single token, which may be computed together with others.

        Raises:
            ComputeStopped: the compute thread is not running.
        """
        ticket = Ticket(work, done)
        if not self._running:
            # What is computed is chosen when the thread is free, so that whoever comes meanwhile is part of it.
            self._compute.submit(self._turn, self._turned)
            self._running = True
        with self._queues:
            if is_token:
                self._tokens.append(ticket)
            else:
                self._chunks.setdefault(peer, deque()).append(ticket)
        return ticket

    def _turn(self) -> list[Ticket]:
        """Choose and compute; on the compute thread."""
        chosen = self._choose()
        by_slice: dict[int, list[tuple[Ticket, Step]]] = {}
        for ticket in chosen:
            step = ticket.begin()
            if step is not None:
                by_slice.setdefault(id(ticket.work.slice), []).append((ticket, step))
        for begun in by_slice.values():
            _compute(begun[0][0].work.slice, begun)
        return chosen

    def _choose(self) -> list[Ticket]:
        with self._queues:
            tokens_next, self._token_turn = self._token_turn, not self._token_turn
            if self._tokens and (tokens_next or not self._chunks):
                return [self._tokens.popleft() for _ in range(min(len(self._tokens), MOST_TOGETHER))]
            if not self._chunks:
                return []
            peer, queue = self._chunks.popitem(last=False)
            ticket = queue.popleft()
            if queue:
                self._chunks[peer] = queue
            return [ticket]

    def _turned(self, answered: list[Ticket] | None, error: BaseException | None) -> None:
        """A turn is over, or the thread has stopped; on the loop's thread."""
        self._running = False
        if answered is None:
            answered = self._all_stopped(error)
        elif self.waiting:
            try:
                self._compute.submit(self._turn, self._turned)
                self._running = True
            except ComputeStopped as stopped:
                answered += self._all_stopped(stopped)
        for ticket in answered:
            ticket.done(ticket.answer, ticket.error)

    def _all_stopped(self, error: BaseException | None) -> list[Ticket]:
        with self._queues:
            waiting = [*self._tokens, *(ticket for queue in self._chunks.values() for ticket in queue)]
            self._tokens.clear()
            self._chunks.clear()
        for ticket in waiting:
            ticket.error = error
        return waiting


def _compute(held: Slice, begun: Sequence[tuple[Ticket, Step]]) -> None:
    """Run steps of one slice and give each its answer, or the error that is a defect of this program to all."""
    failed: Exception | None = None
    results: list[torch.Tensor | SliceError] = []
    try:
        results = held.forward_all([step for _, step in begun])
    except Exception as error:  # noqa: BLE001 - kept for whoever awaits the answer
        failed = error
    for index, (ticket, _) in enumerate(begun):
        if failed is None:
            ticket.finish(results[index])
        else:
            ticket.error = failed
